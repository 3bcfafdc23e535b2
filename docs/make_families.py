"""Writes a page for every family of networks, from the model index, the docstrings and the recipes. Sphinx calls it."""

import ast
import json
import re
from pathlib import Path

import yaml

from kerasnets.model_index import citations, read_model_index

ROOT = Path(__file__).parent.parent
RAW = "```"
EXAMPLES = {
    "resnet": "resnet50",
    "vgg": "vgg16",
    "densenet": "densenet121",
    "resnet_v2": "resnet50_v2",
    "resnext": "resnext50_32x4d",
    "wide_resnet": "wide_resnet28_10_cifar",
    "inception_resnet": "inception_resnet_v2",
    "nasnet": "nasnet_large",
    "senet": "se_resnet50",
}
IDEAS = {
    "Auxiliary classifiers with weighted losses": ("googlenet", "inception_v3"),
    "Bottlenecks and 1x1 convolutions": ("nin", "googlenet", "resnet"),
    "Compound scaling": ("efficientnet",),
    "Dense connections": ("densenet",),
    "Deformable convolution": ("deformable",),
    "Depthwise separable convolution": ("xception", "mobilenet_v1", "mobilenet_v2"),
    "Drop path": ("fractalnet", "nasnet"),
    "Grouped convolution and cardinality": ("alexnet", "resnext"),
    "Local response normalisation": ("alexnet", "zfnet", "googlenet"),
    "Pre-activation": ("resnet_v2",),
    "Residual connections with Inception modules": ("inception_resnet",),
    "Squeeze-and-excitation": ("senet", "mobilenet_v3", "efficientnet"),
    "Stochastic depth": ("resnet", "efficientnet"),
    "Width against depth": ("wide_resnet",),
}


def write_pages(folder: Path) -> None:
    """Writes `index.md`, `limits.md` and one page for each family into `folder`."""
    folder.mkdir(exist_ok=True)
    rows = read_model_index()
    pages = {family: family_page(family, rows) for family in families(rows)}
    pages["index"] = index_page(rows)
    pages["limits"] = limits_page(rows)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def families(rows: dict[str, dict]) -> list[str]:
    """Returns the families of the model index, the oldest paper first."""
    years = {}
    for row in rows.values():
        years[row["family"]] = min(row["paper"]["year"], years.get(row["family"], 9999))
    return sorted(years, key=lambda family: (years[family], family))


def example(family: str, rows: dict[str, dict]) -> str:
    """Returns the variant that stands for a family: the one in `EXAMPLES`, or the family's first."""
    return EXAMPLES.get(family) or next(name for name in rows if rows[name]["family"] == family)


def docstring(family: str) -> str:
    """Returns the docstring of a family's file; the file is not imported."""
    source = (ROOT / "kerasnets" / "architectures" / f"{family}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source))


def title(family: str) -> str:
    """Returns the name of a family as its file writes it."""
    return docstring(family).splitlines()[0].split(": ")[0].rstrip(".")


def recipes_of(names: set[str]) -> dict[str, str]:
    """Returns recipe name -> header, for the recipes that train one of the variants `names`."""
    found = {}
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if yaml.safe_load(text)["model"]["name"] in names:
            lines = re.match(r"(#.*\n)+", text)[0].splitlines()
            found[path.stem] = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines).strip()
    return found


def index_page(rows: dict[str, dict]) -> str:
    """Returns the page that links every family."""
    lines = ["# Families", "", "| family | paper | variants |", "| --- | --- | ---: |"]
    ideas = ["| idea | family |", "| --- | --- |"]
    for idea, homes in IDEAS.items():
        ideas.append(f"| {idea} | {', '.join(f'[{title(home)}]({home}.md)' for home in homes)} |")
    for family in families(rows):
        members = [row for row in rows.values() if row["family"] == family]
        paper = min((row["paper"] for row in members), key=lambda paper: paper["year"])
        source = f"{paper['authors']}, {paper['year']}"
        lines.append(f"| [{title(family)}]({family}.md) | {source} | {len(members)} |")
    links = [f"{family}" for family in families(rows)]
    lines += ["", "## Where an idea is", "", *ideas]
    return "\n".join([*lines, "", RAW + "{toctree}", ":hidden:", "", *links, RAW, ""])


def limits_page(rows: dict[str, dict]) -> str:
    """Returns the page of what was not run, not compared and not published."""
    not_run = [name for name, header in recipes_of(set(rows)).items() if re.search(r"^Result +not run", header, re.M)]
    partners, stored = _read("parity_rows"), _read("golden_rows").values()
    alone = [name for name in rows if name not in partners and name not in stored]
    groups = {
        "Recipes that were not run": not_run,
        "Variants whose outputs `make parity` and the stored outputs do not compare": alone,
        "Variants without public weights": [name for name, row in rows.items() if not row["checkpoints"]],
    }
    lines = ["# Limits", "", "The page of each family says how its variants differ from the paper.", ""]
    lines += ["[On a GPU](../gpu.md) and [several devices](../distributed.md) say what was not run there.", ""]
    for heading, names in groups.items():
        lines += [f"## {heading}", "", f"{len(names)}: " + ", ".join(f"`{name}`" for name in names) + ".", ""]
    lines += ["## How recipes differ from their papers", ""]
    for name, header in recipes_of(set(rows)).items():
        for remark in re.findall(r"^(?:Differs from|Not in) the paper: .*?(?=\n[A-Z][a-z ]+:|\Z)", header, re.M | re.S):
            lines.append(f"* `{name}`: {' '.join(remark.split())}")
    return "\n".join([*lines, ""])


def _read(name: str) -> dict:
    return json.loads((ROOT / "tests" / f"{name}.json").read_text(encoding="utf-8"))


def family_page(family: str, rows: dict[str, dict]) -> str:
    """Returns the page of one family in Markdown."""
    members = {name: row for name, row in rows.items() if row["family"] == family}
    body = docstring(family).partition("\n")[2].strip()
    parts = [f"# {title(family)}", body, *_stages(family, members), *_variants(members), *_parity(members)]
    parts += [*_differences(members), *_weights(members), "## Recipes"]
    recipes = recipes_of(set(members))
    for name, header in recipes.items():
        parts += [f"### {name}", f"{RAW}text\n{header}\n{RAW}"]
    if not recipes:
        parts.append("No recipe trains a variant of this family; nothing was trained here.")
    return "\n\n".join([*parts, *_citations(members)]) + "\n"


def _stages(family: str, members: dict[str, dict]) -> list[str]:
    name = example(family, members)
    lines = ["| stride | feature map | layers | parameters | multiply-adds |", "| ---: | --- | ---: | ---: | ---: |"]
    for stage in members[name]["stages"]:
        shape, counts = "x".join(map(str, stage["shape"])), (stage["parameters"], stage["multiply_adds"])
        cells = [str(stage["stride"] or "head"), shape, str(stage["layers"]), *(f"{count:,}" for count in counts)]
        lines.append(f"| {' | '.join(cells)} |")
    text = "Layers are convolutions and dense layers. The head is what follows the last feature map."
    return [f"## Stages of {name}", f"![Stages of {name}]({family}.svg)", "\n".join(lines), text]


def _parity(members: dict[str, dict]) -> list[str]:
    page = json.loads((ROOT / "docs" / "parity.json").read_text(encoding="utf-8"))
    found = {name: page["differences"][name] for name in members if name in page["differences"]}
    if not found:
        return []
    lines = ["| variant | compared with | largest difference |", "| --- | --- | ---: |"]
    lines += [f"| `{name}` | {source} | {value:.1e} |" for name in found for source, value in found[name].items()]
    versions = ", ".join(f"{name} {number}" for name, number in page["versions"].items())
    text = (
        f"Logits on the same weights, in units of their standard deviation. Printed by `make parity` with {versions}."
    )
    return ["## Outputs beside other libraries", "\n".join(lines), text]


def _variants(members: dict[str, dict]) -> list[str]:
    outside = _read("outside_numbers")
    lines = [
        "| name | input | parameters | multiply-adds | counts compared with |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for name, row in members.items():
        shape, source = "x".join(map(str, row["input_shape"])), outside.get(name, {}).get("source", "")
        lines.append(f"| `{name}` | {shape} | {row['parameters']:,} | {row['multiply_adds']:,} | {source} |")
    return ["## Variants", "\n".join(lines)]


def _differences(members: dict[str, dict]) -> list[str]:
    lines = [f"* `{name}`: {'; '.join(row['differences'])}." for name, row in members.items() if row["differences"]]
    return ["## Differences from the paper", "\n".join(lines)] if lines else []


def _weights(members: dict[str, dict]) -> list[str]:
    lines = ["| variant | tag | licence | size | crop | interpolation | mean | std |", "| --- " * 8 + "|"]
    for name, row in members.items():
        for found in row["checkpoints"]:
            pixels = found.get("preprocessing") or row["preprocessing"]
            cells = [f"`{name}`", f"`{found['tag']}`", found.get("license") or "not known"]
            cells += [str(pixels[key]) for key in ("size", "crop_fraction", "interpolation")]
            cells += [", ".join(map(str, pixels[key])) for key in ("mean", "std")]
            lines.append(f"| {' | '.join(cells)} |")
    return [
        "## Public weights",
        "\n".join(lines) if len(lines) > 2 else "There are no public weights in the catalogue.",
    ]


def _citations(members: dict[str, dict]) -> list[str]:
    urls = dict.fromkeys(row["paper"]["url"] for row in members.values())
    return ["## How to cite", *(f"{RAW}text\n{citations()[url]}\n{RAW}" for url in urls)]
