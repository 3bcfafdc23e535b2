"""Compare networks: accuracy, operations, parameters, and measured speed, as a table, charts and a page.

The accuracies are the published ones of the public checkpoints. What the machine decides is measured here.
"""

import csv
import fnmatch
import io
from pathlib import Path

from kerasnets.model_index import ModelInfo, list_models, model_info
from kerasnets.registry import did_you_mean
from kerasnets.report.comparison_charts import charts, pareto
from kerasnets.report.measured import measured
from kerasnets.report.page import render_page, table
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.weights.catalogue import PublicCheckpoint

# How a checkpoint was trained, by its tag. A modern recipe is worth several points of accuracy.
FIRST, MODERN, MORE_DATA = "first release", "modern recipe", "more data"
_FIRST_TAGS = ("IMAGENET1K_V1", "tv_in1k", "in1k", "tf_in1k", "aa_in1k")
_OTHER_DATA = ("jft", "yfcc", "ig1b")
_COLUMNS = (
    "name", "family", "year", "checkpoint", "source", "training", "top1", "top5", "size", "parameters", "multiply_adds",
    "density", "pareto", "steps", "milliseconds_1", "spread_1", "milliseconds_16", "spread_16", "peak_memory", "joules",
)  # fmt: skip


def compare(names=None, *, measure: bool = False, steps: int = 10, output: str | Path | None = None) -> list[dict]:
    """Compares networks with public ImageNet weights by accuracy and cost.

    Args:
        names: names of networks or patterns (`"resnet*"`); `None` takes all. Each has up to two rows: its first
            release, and the most accurate modern recipe at the same image size. A pattern with a dot means checkpoints:
            `"resnet50_v1_5.*"` has a row for each of them.
        measure: measure time and peak memory of each network on this machine, in processes of their own.
        steps: measured batches of each network.
        output: a folder for comparison.csv, the charts (SVG and PNG) and index.html; `None` writes nothing.

    Returns:
        Rows, the most accurate first: `{"name", "family", "year", "checkpoint", "source", "training", "top1", "top5",
        "size", "parameters", "multiply_adds", "density", "pareto"}`. Accuracies are percent of the ImageNet validation
        images, `density` is top-1 per million parameters, and `pareto` tells whether no row has a higher top-1 with
        fewer multiply-adds. With `measure` also `"steps"` and what `kerasnets.report.measured.measured` returns.

    Raises:
        ValueError: for a name or pattern that matches no network with public ImageNet weights.
    """
    rows = [row for pattern in names or ["*"] for row in _rows(pattern)]
    rows = list({(row["name"], row["checkpoint"]): row for row in rows}.values())
    rows.sort(key=lambda row: (-row["top1"], row["multiply_adds"], row["name"]))
    best = pareto(rows, "multiply_adds")
    names = sorted({row["name"] for row in rows}) if measure else []
    speeds = {name: {"steps": steps} | measured(name, steps) for name in names}
    rows = [row | {"pareto": number in best} | speeds.get(row["name"], {}) for number, row in enumerate(rows)]
    if output is not None:
        write_comparison(rows, Path(output))
    return rows


def training_of(checkpoint: PublicCheckpoint) -> str:
    """Returns how a checkpoint was trained: `FIRST` (as it came out), `MODERN` recipe, or with `MORE_DATA`."""
    if any(name in checkpoint.tag for name in _OTHER_DATA):
        return MORE_DATA
    return FIRST if checkpoint.tag in _FIRST_TAGS or checkpoint.tag.startswith("keras") else MODERN


def _rows(pattern: str) -> list[dict]:
    """Returns the rows of a name or a pattern."""
    network, dot, tag = pattern.partition(".")
    names = [name for name in list_models() if fnmatch.fnmatchcase(name, network)]
    rows = [row for name in names for row in _of_network(model_info(name), tag if dot else None)]
    if not rows:
        hint = "" if names else did_you_mean(network, list_models())
        raise ValueError(f"No network with public ImageNet weights has such a name.{hint} Received: {pattern!r}")
    return rows


def _of_network(info: ModelInfo, tag: str | None) -> list[dict]:
    size = info.input_shape[0]
    known = [c for c in info.checkpoints if c.top1 is not None and c.dataset == "imagenet" and not c.arguments]
    if tag is not None:
        chosen = [checkpoint for checkpoint in known if fnmatch.fnmatchcase(checkpoint.tag, tag)]
    else:
        here = [checkpoint for checkpoint in known if checkpoint.measured_at in (None, size)]
        first = [checkpoint for checkpoint in here if training_of(checkpoint) == FIRST][:1]
        modern = [checkpoint for checkpoint in here if training_of(checkpoint) == MODERN]
        chosen = first + sorted(modern, key=lambda checkpoint: -checkpoint.top1)[:1]
    return [_row(info, checkpoint) for checkpoint in chosen]


def _row(info: ModelInfo, checkpoint: PublicCheckpoint) -> dict:
    size = checkpoint.measured_at or info.input_shape[0]
    scale = (size / info.input_shape[0]) ** 2  # exact for the convolutions, which are nearly all of it
    return {
        "name": info.name,
        "family": info.family,
        "year": info.paper.year,
        "checkpoint": checkpoint.tag,
        "source": checkpoint.source,
        "training": training_of(checkpoint),
        "top1": checkpoint.top1,
        "top5": checkpoint.top5,
        "size": size,
        "parameters": info.parameters,
        "multiply_adds": round(info.multiply_adds * scale),
        "density": checkpoint.top1 / (info.parameters / 1e6),
    }


def write_comparison(rows: list[dict], folder: Path) -> None:
    """Writes comparison.csv, each chart as SVG and PNG, and index.html, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "comparison.csv", _csv(rows))
    drawn = charts(rows)
    for name, chart in drawn.items():
        write_atomically(folder / f"{name}.svg", chart.svg)
        write_atomically(folder / f"{name}.png", chart.png)
    sections = [{"title": c.title, "note": c.note, "drawing": c.svg} for c in drawn.values()]
    lead = "Accuracies are the published ones of the public checkpoints. Point at a mark to read its figures."
    above = {"heading": "Networks compared", "lead": lead}
    page = render_page("Networks compared - kerasnets", [*sections, _table(rows)], **above)
    write_atomically(folder / "index.html", page)


def _csv(rows: list[dict]) -> str:
    text, used = io.StringIO(), [column for column in _COLUMNS if any(column in row for row in rows)]
    writer = csv.DictWriter(text, used, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        spread = {key: "{:.4g}-{:.4g}".format(*row[key]) for key in row if key.startswith("spread")}
        shorter = {key: f"{row[key]:.5g}" for key in row if isinstance(row[key], float)}
        writer.writerow(row | shorter | spread)
    return text.getvalue()


def _table(rows: list[dict]) -> dict:
    columns = ["network", "year", "checkpoint", "training", "top-1", "parameters (M)", "multiply-adds (G)"]
    timed = any("milliseconds_16" in row for row in rows)
    columns += ["1 image (ms)", "16 images (ms)", "peak memory (MB)"] * timed
    cells = []
    for row in rows:
        own = [row["name"], str(row["year"]), f"{row['checkpoint']} ({row['source']})", row["training"]]
        own += [f"{row['top1']:.1f}", f"{row['parameters'] / 1e6:.1f}", f"{row['multiply_adds'] / 1e9:.2f}"]
        if timed:
            own += [timed_text(row, 1), timed_text(row, 16), f"{row['peak_memory'] / 1e6:.0f}"]
        cells.append(own)
    return {"title": "Table", "note": measured_text(rows), "table": table(columns, cells, tuple(columns[4:]))}


def timed_text(row: dict, batch: int) -> str:
    """Returns the median and the quartiles of the time of a batch, in milliseconds."""
    low, high = row[f"spread_{batch}"]
    return f"{row[f'milliseconds_{batch}']:.3g} ({low:.3g}-{high:.3g})"


def measured_text(rows: list[dict]) -> str:
    """Returns what the measured columns mean; "" without any."""
    if "steps" not in rows[0]:
        return ""
    text = f"Times: median and quartiles of {rows[0]['steps']} batches on this machine."
    counted = any(row.get("joules") for row in rows)
    return text + " Energy: not run, because this machine has no counter that can be read." * (not counted)
