"""`kerasnets export`."""

from typing import Annotated

import typer

from kerasnets.cli.options import JSON, NETWORK, WEIGHTS
from kerasnets.cli.output import (
    file_size,
    percent,
    print_json,
    print_table,
    share_of,
    start_tensorflow,
    work_on_stderr,
)

app = typer.Typer()
FORM = Annotated[
    str,
    typer.Option(
        "--to",
        help="saved-model, onnx, web, web-int8, tflite or tflite-sparse, -float16, -dynamic, -int8, -int16x8, "
        "-full-integer.",
    ),
]
CALIBRATE = Annotated[
    str | None,
    typer.Option(
        help="Real images: digits, an .npz file, a folder of images or shards, or tfds:NAME; by default a run's own."
    ),
]
PREPROCESSING = Annotated[
    str | None, typer.Option(help="For a .keras file of another package: the network whose preprocessing it uses.")
]
LABELS = Annotated[str | None, typer.Option(help="A text file with a label a line, for a model that has none.")]
BOUNDS = Annotated[
    str | None,
    typer.Option(metavar="NAME=VALUE,...", help="Other bounds: top1_agreement, accuracy_drop, largest_difference."),
]
STRICT = Annotated[
    bool, typer.Option("--strict", help="Refuse an integer file in which an operator computes in float.")
]
LITERT_JS = Annotated[
    str | None, typer.Option("--litert-js", help="For web: the folder of LiteRT.js; by default node_modules/@litertjs.")
]
KEEP_FLOAT = Annotated[
    str | None, typer.Option(metavar="LAYER,...", help="Layers that compute in float in an 8-bit file.")
]
OUTPUT = Annotated[
    str | None, typer.Option("--output", "-o", help="The exported file or folder; by default in saved_models/.")
]
ALLOW_RANDOM = Annotated[
    bool, typer.Option("--allow-random", help="Export a model's name without weights, to try the export.")
]
EXAMPLES = Annotated[int, typer.Option(help="The largest number of images to compare.")]


@app.command("export", epilog="Example: kerasnets export runs/lenet5_digits --to tflite-int8")
def export_command(
    target: NETWORK,
    to: FORM,
    calibrate: CALIBRATE = None,
    output: OUTPUT = None,
    weights: WEIGHTS = None,
    preprocessing: PREPROCESSING = None,
    labels: LABELS = None,
    allow_random: ALLOW_RANDOM = False,
    examples: EXAMPLES = 1000,
    bounds: BOUNDS = None,
    strict: STRICT = False,
    litert_js: LITERT_JS = None,
    keep_float: KEEP_FLOAT = None,
    json: JSON = False,
) -> None:
    """Export a trained model, run the exported file in a fresh process and compare it with Keras.

    When the two differ too much, the exit code is 1 and no file is left.
    """
    wanted = _bounds(bounds)
    start_tensorflow()
    from kerasnets.exporters.export import export
    from kerasnets.report.run_report import write_report
    from kerasnets.runs.folder import is_run

    with work_on_stderr():
        chosen = {"weights": weights, "allow_random": allow_random, "examples": examples, "strict": strict}
        chosen |= {"preprocessing": preprocessing, "labels": _labels(labels) if labels else None, "bounds": wanted}
        chosen |= {"litert_js": litert_js}
        chosen["keep_float"] = keep_float.split(",") if keep_float else ()
        report = export(target, to, calibrate, output, **chosen)
        if is_run(target):
            write_report(target)
    if json:
        print_json(report)
        return
    print_table(("", ""), _lines(report))


def _labels(path: str) -> tuple[str, ...]:
    """Returns the labels of a text file."""
    from kerasnets.data.labels import read_labels

    try:
        return read_labels(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ValueError(f"--labels should be a text file, one label a line. Received: {path!r}: {reason}") from None


def _lines(report: dict) -> list[tuple[str, str]]:
    """Returns the lines of a report: names and values."""
    speed = f"{report['latency_ms']:.3g} ms, one image"
    if "threads" in report:
        speed += f", 1 thread; {report['latency_all_threads_ms']:.3g} ms, {report['threads']} threads"
    return [
        ("file", report["path"]),
        ("size", f"{file_size(report['bytes'])}, zipped {file_size(report['zipped_bytes'])}"),
        ("compared", f"{report['examples']} images, in a fresh process"),
        ("images", report["images"]),
        ("not checked", "; ".join(report["not_checked"]) or "–"),
        ("largest difference", f"{report['largest_difference']:.2g} (probabilities)"),
        ("top-1 agreement", _share(report, "top1_agreement", "examples")),
        ("accuracy", _share(report, "accuracy", "labelled")),
        ("accuracy of Keras", _share(report, "keras_accuracy", "labelled")),
        ("through the client", client_line(report)),
        ("undecided", "; ".join(report["undecided"]) or "nothing"),
        ("latency", speed),
        ("runs from", f"TensorFlow Lite {report['oldest_runtime']} on" if report["oldest_runtime"] else "–"),
        ("operators", ", ".join(f"{name} {count}" for name, count in report["ops"].items())),
        ("Flex operators", ", ".join(report["flex_ops"]) or "none"),
        ("float islands", ", ".join(report["float_islands"]) or "none"),
    ]


def client_line(report: dict) -> str:
    """Returns the accuracy through a client that stretches photos, or a dash."""
    client = report["client"]
    if client is None:
        return "–"
    text = f"{_share(client, 'accuracy', 'examples')}, photos stretched to a square as MediaPipe does"
    if (itself := client["mediapipe"]) is None:
        return text
    if "error" in itself:
        return f"{text}; MediaPipe itself: {itself['error']}"
    return f"{text}; MediaPipe {itself['version']} itself: {share_of(itself['accuracy'], itself['examples'])}"


def _share(report: dict, name: str, count: str) -> str:
    """Returns a share, the number it refers to and its 95 % interval."""
    text = share_of(report[name], report[count])
    if report[name] is None:
        return text
    low, high = report[f"{name}_interval"]
    return f"{text} (95 %: {percent(low)} to {percent(high)})"


def _bounds(text: str | None) -> dict[str, float | None] | None:
    """Returns the bounds of `top1_agreement=0.99,accuracy_drop=none`."""
    if text is None:
        return None
    found = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            found[name] = None if value == "none" else float(value)
        except ValueError:
            name = ""
        if name not in ("top1_agreement", "accuracy_drop", "largest_difference"):
            raise ValueError(
                "--bounds should be top1_agreement, accuracy_drop or largest_difference with a number or none, as "
                f"top1_agreement=0.99,accuracy_drop=none. Received: {part.strip()!r}"
            )
    return found
