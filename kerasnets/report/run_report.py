"""Write the report of a run: report.html in its folder, one file that needs no other."""

import base64
import json
import os
from pathlib import Path

from kerasnets.data.labels import read_labels, readable
from kerasnets.report.charts import confusion_chart, line_chart
from kerasnets.report.page import render_page, table
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.log import read_log

_MOST_PICTURES = 48
_MOST_CLASSES = 60


def write_report(run_dir: str | Path) -> Path:
    """Writes report.html into a run's folder, from the files in it. A section whose files are missing is left out.

    Returns:
        The path of the report.

    Raises:
        FileNotFoundError: for a folder without a run.
    """
    run = Path(run_dir)
    if not (run / "recipe.yaml").is_file():
        raise FileNotFoundError(f"A run folder should hold recipe.yaml. Received: {os.fspath(run_dir)!r}")
    evaluation, exports = _read_json(run / "evaluation.json", {}), _read_json(run / "exports.json", [])
    compression = _read_json(run / "compression.json", {})
    log = read_log(run) if (run / "log.jsonl").is_file() else []
    labels = readable(read_labels(run / "labels.txt")) if (run / "labels.txt").is_file() else ()
    epochs = [event for event in log if event.get("event") == "epoch"]
    sections = [
        _curves(epochs),
        _confusion(evaluation, labels),
        _wrong(run, evaluation, labels),
        _exports(exports),
        _compression(compression),
        _notes(log),
        [_recipe(run), *_environment(_read_json(run / "environment.json", {}))],
    ]
    name, path = run.resolve().name, run / "report.html"
    above = {"heading": name, "lead": _lead(run), "tiles": _tiles(epochs, evaluation)}
    write_atomically(path, render_page(f"{name} - kerasnets report", [*filter(None, sections)], **above))
    return path


def _read_json(path: Path, default):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default


def _percent(share: float | None, digits: int = 2) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _share(share: float | None, count: int) -> str:
    return "–" if share is None else f"{_percent(share)} of {count:,}"


def _read_recipe(run: Path) -> dict:
    import yaml

    return yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))


def _lead(run: Path) -> str:
    recipe = _read_recipe(run)
    source = recipe["data"].get("source", {})
    name = source.get("name") or source.get("path") or source.get("kind") or "its data"
    return f"{recipe['model']['name']} trained on {Path(str(name)).name}"


def _tiles(epochs: list[dict], evaluation: dict) -> list[tuple[str, str]]:
    """Returns the large figures at the top of the page."""
    facts = []
    if evaluation:
        own = " (the best epoch was chosen on them)" if evaluation.get("chosen_on") == "evaluation" else ""
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
    return facts


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _curves(epochs: list[dict]) -> dict | None:
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
    drawn = [(title, svg) for title, svg in drawn if svg]
    return {"title": "Training", "charts": drawn} if drawn else None


def _confusion(evaluation: dict, labels: tuple[str, ...]) -> dict | None:
    matrix, confusions = evaluation.get("confusion") or [], evaluation.get("confusions") or []
    if not matrix and not confusions:
        return None
    if matrix and len(labels) != len(matrix) or not labels:
        count = len(matrix) or 1 + max(max(found["label"], found["predicted"]) for found in confusions)
        labels = [str(index) for index in range(count)]
    if "confusions" not in evaluation:  # of an older version
        confusions = [
            {"label": true, "predicted": taken, "count": count, "of": sum(counts)}
            for true, counts in enumerate(matrix)
            for taken, count in enumerate(counts)
            if count and true != taken
        ]
        confusions.sort(key=lambda found: -found["count"])
    rows = [
        [labels[found["label"]], labels[found["predicted"]], f"{found['count']} of {found['of']}"]
        for found in confusions[:10]
    ]
    chart = confusion_chart(matrix, labels) if 0 < len(matrix) <= _MOST_CLASSES else ""
    most = table(["true", "taken for", "images"], rows, ("images",))
    return {"title": "Confusion matrix", "confusion": {"chart": chart, "most": most}}


def _wrong(run: Path, evaluation: dict, labels: tuple[str, ...]) -> dict | None:
    entries = evaluation.get("wrong") or []
    pictures = []
    for entry in entries[:_MOST_PICTURES]:
        picture = _picture(run, str(entry.get("image") or ""))
        if picture is None:
            continue
        pictures.append(
            {
                "true": _label(entry["label"], labels),
                "taken": _label(entry["predicted"], labels),
                "probability": _percent(entry.get("probability"), 0),
                "png": base64.b64encode(picture.read_bytes()).decode("ascii"),
            }
        )
    if not pictures:
        return None
    count = round(evaluation.get("examples", 0) * (1 - evaluation.get("top1", 1)))
    note = f"{len(pictures)} of {count:,} wrong predictions, with the probability that the network gave."
    return {"title": "What it got wrong", "note": note, "pictures": pictures}


def _picture(run: Path, name: str) -> Path | None:
    """Returns the picture that an evaluation names, if it is in the run's `wrong` folder, links resolved."""
    picture = (run / name).resolve()
    inside = picture.is_relative_to(run.resolve() / "wrong")
    return picture if inside and picture.is_file() else None


def _label(value, labels: tuple[str, ...]) -> str:
    return labels[value] if isinstance(value, int) and value < len(labels) else str(value)


def _exports(reports: list[dict]) -> dict | None:
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
        "Undecided": [line for report in reports for line in report.get("undecided", ())],
        "Not checked": [what for report in reports for what in report.get("not_checked", ())],
        "Float islands": [str(island) for report in reports for island in report.get("float_islands") or ()],
    }
    note += "".join(f" {title}: {'; '.join(dict.fromkeys(said))}." for title, said in lists.items() if said)
    files = table(columns, rows, tuple(columns[2:7]), ("passed", "failed"))
    return {"title": "Exported files", "note": note, "table": files} if files else None


def _compression(report: dict) -> dict | None:
    """Returns the table of Han et al. 2016, tables 2 to 5: what each layer takes in the compressed file."""
    if not report:
        return None
    columns = ["layer", "weights", "not zero", "codebook", "bits a weight", "bytes", "times smaller"]
    rows = [
        [
            row["name"],
            f"{row['weights']:,}",
            _percent(row["kept"], 1),
            "–" if row["codebook_bits"] is None else f"{row['codebook_bits']} bits",
            f"{row['bits_per_weight']:.2f}",
            f"{row['bytes']:,}",
            f"{row['ratio']:.1f}",
        ]
        for row in report["layers"]
    ]
    note = f"{Path(report['path']).name} has {report['bytes']:,} bytes, {report['ratio']:.1f} times fewer than float32."
    note += " The bits are those of a weight that is not zero, with its position and its part of the codebook."
    return {"title": "Compressed file", "note": note, "table": table(columns, rows, tuple(columns[1:]))}


def _notes(log: list[dict]) -> dict | None:
    rows = []
    for event in log:
        if event.get("event") in ("weights", "stage", "warning", "bad_image", "resume"):
            said = ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("event", "time"))
            rows.append([event["event"].replace("_", " "), said])
    more = f"The first 20 of {len(rows)}." if len(rows) > 20 else ""
    return {"title": "Notes", "note": more, "table": table(["what", "said"], rows[:20])} if rows else None


def _recipe(run: Path) -> dict:
    import yaml

    text = yaml.safe_dump(_without_empty(_read_recipe(run)), sort_keys=False, allow_unicode=True)
    return {"title": "Recipe", "note": "With the defaults, without keys that are empty.", "text": text}


def _without_empty(values):
    """Returns a recipe's values without the keys that are empty."""
    if not isinstance(values, dict):
        return values
    kept = {key: _without_empty(value) for key, value in values.items()}
    return {key: value for key, value in kept.items() if value not in (None, {}, [])}


def _environment(values: dict) -> list[dict]:
    def text(value) -> str:
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    rows = [[key.replace("_", " "), text(value)] for key, value in values.items() if value is not None]
    return [{"title": "Environment", "table": table(["what", "which"], rows)}] if rows else []
