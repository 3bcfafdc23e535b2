"""docs/quantization.md from docs/quantization.json. What `quantization.py` has no figures for is "not run"."""

import json
from pathlib import Path

from kerasnets.exporters.intervals import share_interval

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "quantization.json"
CIFAR = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_lite0",
    "efficientnet_b0",
    "resnet20_cifar",
)
CIFAR += ("squeezenet1_0",)
PHOTOS = ("efficientnet_lite0", "squeezenet1_0")
MARK = "<!-- Written by `python benchmarks/quantization.py page` from here on. -->\n"


def share(right: int, count: int) -> str:
    """Returns a share in % with its interval."""
    low, high = share_interval(right, count)
    return f"{100 * right / count:.2f} ({100 * low:.1f} to {100 * high:.1f})"


def cifar_table(results: dict) -> list[str]:
    """Returns the lines of the table of networks that were trained."""
    forms = ("float", "plain int8", "improved int8", "network after QAT", "int8 after QAT")
    lines = ["| network | images | " + " | ".join(forms) + " |", "| --- |" + " --- |" * (len(forms) + 1)]
    for name in CIFAR:
        rows = results.get(name, {}).get("rows", {})
        count = str(rows["float"]["images"]) if rows else "–"
        cells = [share(rows[form]["right"], rows[form]["images"]) if form in rows else "not run" for form in forms]
        lines.append(f"| `{name}` | {count} | " + " | ".join(cells) + " |")
    return lines


def agreement_table(results: dict) -> list[str]:
    """Returns the lines of the table of agreement between a file and its network."""
    forms = ("plain int8", "improved int8", "int8 after QAT")
    head = [*forms, "ties among its other answers", "ranges of the training that the file lacks"]
    lines = ["| network | " + " | ".join(head) + " |", "| --- |" + " --- |" * len(head)]
    for name in CIFAR:
        rows = results.get(name, {}).get("rows", {})
        cells = [share(rows[form]["agree"], rows[form]["images"]) if form in rows else "not run" for form in forms]
        trained = rows.get("int8 after QAT", {})
        others = f"{trained['tied']} of {trained['images'] - trained['agree']}" if "tied" in trained else "not run"
        cells += [others, str(trained.get("ranges_missing", "not run"))]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def photo_table(results: dict) -> list[str]:
    """Returns the lines of the table of public weights."""
    lines = ["| network | form | photos | top-1 | top-5 | agreement |", "| --- | --- | --- | --- | --- | --- |"]
    for name in PHOTOS:
        rows = results.get(name, {}).get("rows", {})
        for form in ("float", "plain int8", "improved int8", "int16x8"):
            if form not in rows:
                lines.append(f"| `{name}` | {form} | – | not run | not run | not run |")
                continue
            row, count = rows[form], rows[form]["images"]
            agree = share(row["agree"], count) if "agree" in row else "–"
            cells = (share(row["right"], count), share(row["right5"], count), agree)
            lines.append(f"| `{name}` | {form} | {count} | " + " | ".join(cells) + " |")
    return lines


def write_page() -> None:
    """Writes the tables into docs/quantization.md, after its text."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    page = DOCS / "quantization.md"
    text = page.read_text().partition(MARK)[0]
    lines = ["## CIFAR-10", "", "Accuracy in %, with its 95 % interval:", "", *cifar_table(results.get("cifar10", {}))]
    lines += ["", "Top-1 agreement of a file with its network, in %:", "", *agreement_table(results.get("cifar10", {}))]
    lines += ["", "A tie: the file gives two classes the same probability, because their scores have only 8 bits."]
    lines += ["", "## Public weights, 500 photos", "", *photo_table(results.get("photos", {}))]
    page.write_text(text + MARK + "\n" + "\n".join(lines) + "\n")
