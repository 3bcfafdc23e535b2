"""What the registry's rows say, as a generated JSON file: it answers `list` and `info` without building a network.

`make tables` (`python -m kerasnets.model_index`) writes it, building and counting every variant once, and prints the
README's model table from it. Reading it needs nothing but the standard library.
"""

import dataclasses
import fnmatch
import json
import os
from collections.abc import Iterator
from pathlib import Path

from kerasnets.registry import Paper, Preprocessing, did_you_mean
from kerasnets.weights.catalogue import PublicCheckpoint, all_checkpoints, checkpoints

_BEGIN, _END = "<!-- models: begin, written by `make tables` -->", "<!-- models: end -->"


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of one network without building it.

    Attributes:
        name, python_name: `"resnet50"` for `create_model`, `"ResNet50"` for `kerasnets.ResNet50`.
        family: the lineage of papers that it belongs to.
        summary: what it is, in half a sentence.
        paper: title, authors, year and url.
        input_shape: the row's own (height, width, channels).
        classes: outputs of its classifier by default.
        parameters: number of trainable weights at `input_shape` and `classes`, as papers count them.
        multiply_adds: those of convolutions and dense layers for one image of `input_shape`.
        preprocessing: the plain numbers that turn an image file into its input.
        differences: in which ways it differs from the paper.
        checkpoints: its public weights, the one that `weights="imagenet"` means first.
    """

    name: str
    python_name: str
    family: str
    summary: str
    paper: Paper
    input_shape: tuple[int, int, int]
    classes: int
    parameters: int
    multiply_adds: int
    preprocessing: Preprocessing
    differences: tuple[str, ...]
    checkpoints: tuple[PublicCheckpoint, ...]


def model_index_path() -> Path:
    """Returns where the model index stands in the installed package."""
    return Path(__file__).with_name("model_index.json")


def read_model_index() -> dict[str, dict]:
    """Returns the model index: name -> facts as plain JSON values; checkpoints come from their own catalogue."""
    rows, public = json.loads(model_index_path().read_text(encoding="utf-8")), all_checkpoints()
    return {name: row | {"checkpoints": plain(public.get(name, ()))} for name, row in rows.items()}


def plain(checkpoints) -> list[dict]:
    """Returns public checkpoints as plain JSON values."""
    return json.loads(json.dumps([dataclasses.asdict(checkpoint) for checkpoint in checkpoints]))


def list_models(pattern: str | None = None, *, family: str | None = None, weights: bool | None = None) -> list[str]:
    """Returns the names of all networks, sorted, or those that match.

    Args:
        pattern: a shell pattern such as `"resnet*"`.
        family: a family's name such as `"resnet"`.
        weights: `True` for networks with public weights, `False` for those without.

    Raises:
        ValueError: for a family that does not exist.
    """
    rows = read_model_index()
    families = sorted({row["family"] for row in rows.values()})
    if family is not None and family not in families:
        hint = did_you_mean(family, families)
        raise ValueError(f"The `family` argument should be one of {families}.{hint} Received: family={family!r}")
    return sorted(
        name
        for name, row in rows.items()
        if (pattern is None or fnmatch.fnmatchcase(name, pattern))
        and (family is None or row["family"] == family)
        and (weights is None or bool(row["checkpoints"]) == weights)
    )


def model_info(name: str) -> ModelInfo:
    """Returns what is known of the network called `name`; a Python name such as `"ResNet50"` will do as well.

    Raises:
        ValueError: for an unknown name, with the closest ones.
    """
    rows = read_model_index()
    name = {row["python_name"]: key for key, row in rows.items()}.get(name, name)
    if name not in rows:
        raise ValueError(f"Unknown model {name!r}.{did_you_mean(name, rows)} `kerasnets.list_models()` lists all.")
    facts = dict(rows[name])
    del facts["checkpoints"]
    lists = {key: tuple(facts.pop(key)) for key in ("input_shape", "differences")}
    lists["checkpoints"] = checkpoints(name)
    paper, preprocessing = Paper(**facts.pop("paper")), Preprocessing.from_plain(facts.pop("preprocessing"))
    return ModelInfo(name=name, paper=paper, preprocessing=preprocessing, **lists, **facts)


def row_facts(row) -> dict:
    """Returns what a registered row says of itself, as plain JSON values; nothing is built."""
    facts = {
        key: getattr(row, key) for key in ("python_name", "family", "summary", "input_shape", "classes", "differences")
    }
    facts |= {"paper": dataclasses.asdict(row.paper), "preprocessing": dataclasses.asdict(row.preprocessing)}
    return json.loads(json.dumps(facts, default=str)) | {"checkpoints": plain(row.checkpoints)}


def _counts(row) -> dict[str, int]:
    """Builds `row` and counts it."""
    import keras

    from kerasnets.graph.cost import complexity

    keras.backend.clear_session()
    found = complexity(row())
    return {"parameters": found.parameters, "multiply_adds": found.multiply_adds}


def generate() -> Iterator[tuple[str, dict]]:
    """Yields every registered row's name and facts, counts included."""
    from kerasnets.architectures import catalogue  # noqa: F401  (registers all rows)
    from kerasnets.registry import get_variant
    from kerasnets.registry import list_models as registered

    for name in registered():
        row = get_variant(name)
        facts = row_facts(row) | _counts(row)
        yield name, {key: value for key, value in facts.items() if key != "checkpoints"}


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def readme_table(rows: dict[str, dict], outside: dict[str, dict]) -> str:
    """Returns the README's model table in Markdown.

    Args:
        rows: the model index.
        outside: a row's name -> `{"parameters", "multiply_adds", "source"}` as somebody else published them.
    """
    lines = [
        "| name | paper | input | parameters | multiply-adds | published elsewhere |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for name, row in sorted(rows.items(), key=_age):
        paper, shape = row["paper"], "x".join(map(str, row["input_shape"]))
        cells = (
            f"`{name}`",
            f"[{_short(paper['authors'])} {paper['year']}]({paper['url']})",
            shape,
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}",
            _published(outside.get(name, {})),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _age(item: tuple[str, dict]) -> tuple:
    row = item[1]
    return row["paper"]["year"], row["family"], row["parameters"]


def _short(authors: str) -> str:
    first, *others = authors.replace(" and ", ", ").split(",")
    return first.split()[-1] + (" et al." if others else "")


def _published(numbers: dict) -> str:
    words = {"parameters": "parameters", "multiply_adds": "multiply-adds"}
    counts = [f"{numbers[key]:,} {word}" for key, word in words.items() if numbers.get(key)]
    return ", ".join(counts) + (f" ({numbers['source']})" if numbers.get("source") else "")


def write_readme(root: Path, rows: dict[str, dict]) -> None:
    """Puts the model table between the two marks of `root`/README.md.

    Raises:
        ValueError: when the README has no marks.
    """
    readme, numbers = root / "README.md", root / "tests" / "outside_numbers.json"
    text = readme.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise ValueError(f"README.md should hold the lines {_BEGIN!r} and {_END!r}. Received: {readme}")
    outside = json.loads(numbers.read_text(encoding="utf-8")) if numbers.exists() else {}
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    _write(readme, f"{before}{_BEGIN}\n{readme_table(rows, outside)}\n{_END}{after}")


def main() -> None:
    """Writes model_index.json from the registry and the README's table from model_index.json."""
    rows = {}
    for name, facts in generate():
        rows[name] = facts
        counts = f"{facts['parameters']:>14,} parameters {facts['multiply_adds']:>18,} multiply-adds"
        print(f"{name:28} {counts}", flush=True)
    _write(model_index_path(), json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    root = model_index_path().parent.parent
    if (root / "README.md").exists():
        write_readme(root, rows)


if __name__ == "__main__":
    main()
