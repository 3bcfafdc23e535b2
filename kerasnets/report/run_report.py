"""The report of a run: report.html in its folder, one file that needs nothing else, made to be looked at."""

import base64
import json
import os
from html import escape
from pathlib import Path

from kerasnets.data.labels import read_labels, readable
from kerasnets.report.charts import confusion_chart, line_chart
from kerasnets.report.page import page, section, table, tiles
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.folder import read_log

_MOST_PICTURES = 48
_MOST_CLASSES = 60


def write_report(run_dir: str | Path) -> Path:
    """Writes report.html into a run's folder from what the folder holds; what is not there yet is left out.

    Returns:
        The path of the report.

    Raises:
        FileNotFoundError: for a folder that is not a run's.
    """
    run = Path(run_dir)
    if not (run / "recipe.yaml").is_file():
        raise FileNotFoundError(f"No run at {os.fspath(run_dir)!r}: a run folder holds recipe.yaml.")
    evaluation, exports = _read_json(run / "evaluation.json", {}), _read_json(run / "exports.json", [])
    log = read_log(run) if (run / "log.jsonl").is_file() else []
    labels = readable(read_labels(run / "labels.txt")) if (run / "labels.txt").is_file() else ()
    parts = [
        _head(run, log, evaluation),
        _curves([event for event in log if event.get("event") == "epoch"]),
        _confusion(evaluation, labels),
        _wrong(run, evaluation, labels),
        _exports(exports, evaluation),
        _notes(log),
        f'<div class="pair">{_recipe(run)}{_environment(_read_json(run / "environment.json", {}))}</div>',
    ]
    path = run / "report.html"
    write_atomically(path, page(f"{run.resolve().name} - kerasnets report", "\n".join(filter(None, parts))))
    return path


def _read_json(path: Path, default):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default


def _percent(share: float | None, digits: int = 2) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _share(share: float | None, count: int) -> str:
    return "–" if share is None else f"{_percent(share)} of {count:,}"


def _head(run: Path, log: list[dict], evaluation: dict) -> str:
    import yaml

    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    source = recipe["data"].get("source", {})
    epochs = [event for event in log if event.get("event") == "epoch"]
    facts = []
    if evaluation:
        own = ", which also chose the epoch" if evaluation.get("chosen_on") == "evaluation" else ""
        facts.append((_percent(evaluation.get("top1")), f"held-out accuracy, {evaluation['examples']:,} images{own}"))
        if evaluation.get("top5") is not None and len(evaluation.get("confusion") or []) != 5:
            facts.append((_percent(evaluation["top5"]), f"held-out top-5, {evaluation['examples']:,} images"))
        if evaluation.get("loss") is not None:
            facts.append((f"{evaluation['loss']:.4f}", "held-out loss"))
    if epochs:
        seconds = sum(event.get("seconds") or 0 for event in epochs)
        facts += [(f"{len(epochs)}", "epochs"), (_duration(seconds), "training")]
        facts.append(
            (f"{max(event.get('images_per_second') or 0 for event in epochs):,.0f}", "images a second, at best")
        )
    name = source.get("name") or source.get("path") or source.get("kind") or "its data"
    lead = f"{recipe['model']['name']} trained on {Path(str(name)).name}"
    title = f"<header><h1>{escape(run.resolve().name)}</h1>\n<p class='lead'>{escape(lead)}</p></header>"
    return title + (tiles(facts) if facts else "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _curves(epochs: list[dict]) -> str:
    def series(**names: str) -> dict[str, list]:
        return {name.replace("_", " "): [(e["epoch"], e.get(key)) for e in epochs] for name, key in names.items()}

    charts = (
        ("Loss", series(training="loss", held_out="val_loss"), False),
        ("Accuracy", series(training="top1", held_out="val_top1"), True),
        ("Learning rate", series(learning_rate="learning_rate"), False),
    )
    drawn = [
        (title, line_chart(f"{title} by epoch", lines, x_label="epoch", percent=share))
        for title, lines, share in charts
    ]
    figures = "".join(f"<div><h3>{title}</h3>{svg}</div>" for title, svg in drawn if svg)
    return section("Training", f'<div class="charts">{figures}</div>' if figures else "")


def _confusion(evaluation: dict, labels: tuple[str, ...]) -> str:
    matrix = evaluation.get("confusion") or []
    if not matrix:
        return ""
    labels = labels if len(labels) == len(matrix) else [str(index) for index in range(len(matrix))]
    pairs = [
        (count, labels[true], labels[taken], sum(counts))
        for true, counts in enumerate(matrix)
        for taken, count in enumerate(counts)
        if count and true != taken
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = [[true, taken, f"{count} of {total}"] for count, true, taken, total in pairs[:10]]
    most = table(["true", "taken for", "images"], rows, ("images",)) or "<p>None: every image was recognised.</p>"
    chart = confusion_chart(matrix, labels) if len(matrix) <= _MOST_CLASSES else ""
    return section(
        "Confusion matrix", f'<div class="two"><div>{chart}</div><div><h3>Most confused</h3>{most}</div></div>'
    )


def _wrong(run: Path, evaluation: dict, labels: tuple[str, ...]) -> str:
    entries = evaluation.get("wrong") or []
    figures = []
    for entry in entries[:_MOST_PICTURES]:
        picture = _picture(run, str(entry.get("image") or ""))
        if picture is None:
            continue
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
        true, taken = _label(entry["label"], labels), _label(entry["predicted"], labels)
        figures.append(
            f'<figure><img alt="{escape(true)} taken for {escape(taken)}" src="data:image/png;base64,{data}">'
            f"<figcaption><span>true</span> {escape(true)}<br><span>taken for</span> "
            f'<b class="taken">{escape(taken)}</b> <span>{_percent(entry.get("probability"), 0)}</span>'
            "</figcaption></figure>"
        )
    count = round(evaluation.get("examples", 0) * (1 - evaluation.get("top1", 1)))
    note = f"{len(figures)} of {count:,} wrong predictions, with the probability that the network gave."
    return section("What it got wrong", f'<div class="wrong">{"".join(figures)}</div>' if figures else "", note)


def _picture(run: Path, name: str) -> Path | None:
    """Returns the file that an evaluation names, if it is below the run's `wrong` folder, symbolic links followed."""
    picture = (run / name).resolve()
    inside = picture.is_relative_to(run.resolve() / "wrong")
    return picture if inside and picture.is_file() else None


def _label(value, labels: tuple[str, ...]) -> str:
    return labels[value] if isinstance(value, int) and value < len(labels) else str(value)


def _exports(reports: list[dict], evaluation: dict) -> str:
    columns = ["form", "file", "size", "accuracy", "largest difference", "top-1 agreement", "latency", "check"]
    rows = [
        [
            report["format"],
            Path(report["path"]).name,
            f"{report['bytes'] / 1000:,.0f} kB",
            _share(report.get("accuracy"), report.get("labelled", report["examples"])),
            f"{report['largest_difference']:.2g}",
            _share(report["top1_agreement"], report["examples"]),
            f"{report['latency_ms']:.3g} ms",
            "passed" if report["passed"] else "failed",
        ]
        for report in reports
    ]
    note = "Each file was run in a fresh process and compared with the Keras model; differences are of probabilities."
    lists = {
        "Compared on": [report["images"] for report in reports if "images" in report],
        "Not checked": [what for report in reports for what in report.get("not_checked", ())],
        "Float islands": [str(island) for report in reports for island in report.get("float_islands") or ()],
    }
    note += "".join(f" {title}: {'; '.join(dict.fromkeys(said))}." for title, said in lists.items() if said)
    drawn = table(columns, rows, tuple(columns[2:7]), {"passed": "passed", "failed": "failed"})
    return section("Exported files", drawn, note)


def _notes(log: list[dict]) -> str:
    rows = []
    for event in log:
        if event.get("event") in ("weights", "stage", "warning", "bad_image", "resume"):
            said = ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("event", "time"))
            rows.append([event["event"].replace("_", " "), said])
    more = f"The first 20 of {len(rows)}." if len(rows) > 20 else ""
    return section("Notes", table(["what", "said"], rows[:20]), more)


def _recipe(run: Path) -> str:
    import yaml

    values = _said(yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8")))
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return section("Recipe", f"<pre>{escape(text)}</pre>", "Defaults included; what is switched off is left out.")


def _said(values):
    """Returns a recipe's values without the keys that are empty."""
    if not isinstance(values, dict):
        return values
    kept = {key: _said(value) for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in (None, {}, [])}


def _environment(values: dict) -> str:
    def text(value) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    rows = [[key.replace("_", " "), text(value)] for key, value in values.items() if value is not None]
    return section("Environment", table(["what", "which"], rows))
