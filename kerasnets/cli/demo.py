"""`kerasnets demo`: one real job from training to prediction. Each step is a command that a user would type.

LeNet-5 is trained on handwritten digits, exported in three forms, and classifies image files; a report shows it all.
The exit code is 1 if the held-out accuracy is below 98 %, or the accuracy of int8 more than one point lower still.
"""

import json
import sys
import time
from pathlib import Path

import typer

from kerasnets.cli.output import file_size, percent, print_table, start_tensorflow

app = typer.Typer()
RECIPE = "lenet5_digits"
RUN = Path("runs/lenet5_digits")
FORMS = ("saved-model", "tflite", "tflite-int8")
LEAST_ACCURACY, MOST_LOST = 0.98, 0.01
NEXT = """
Go on with
  kerasnets list --recipes                 the recipes that come with kerasnets
  kerasnets info resnet50                  one of the networks
  kerasnets predict photo.jpg --model efficientnet_lite0 --weights imagenet
"""


def kerasnets(*arguments: str) -> None:
    """Prints and runs one command line. If it fails, the demo ends with its exit code."""
    from kerasnets.cli.app import run

    print(f"\n$ kerasnets {' '.join(arguments)}", flush=True)
    if code := run(list(arguments)):
        raise typer.Exit(code)


def write_digits(folder: Path, count: int = 6) -> list[str]:
    """Writes the first held-out digits as PNG files, with the digit in the name, and returns their paths."""
    import tensorflow as tf

    from kerasnets.data.sources import open_source
    from kerasnets.runs.folder import open_run

    options = open_run(RUN).recipe.data
    source = open_source(options.source, options.evaluation_split)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        image, label = source.fetch(tf.constant(index, tf.int64))
        path = folder / f"{index}_shows_{source.classes[int(label)]}.png"
        path.write_bytes(tf.io.encode_png(image).numpy())
        paths.append(str(path))
    return paths


def keras_latency(repeats: int = 50) -> float:
    """Returns the median time of the compiled Keras model for one image, in milliseconds."""
    from kerasnets.exporters.profile import profile
    from kerasnets.runs.folder import open_run

    return profile(open_run(RUN).model, batch_size=1, steps=repeats, training=False)["inference"]["milliseconds"]


def summary() -> list[tuple[str, ...]]:
    """Returns a row for the Keras model and for each exported file: accuracy, size, latency, largest difference."""
    accuracy = json.loads((RUN / "evaluation.json").read_text(encoding="utf-8"))["top1"]
    reports = {report["format"]: report for report in json.loads((RUN / "exports.json").read_text(encoding="utf-8"))}
    size = file_size((RUN / "model.keras").stat().st_size)
    lines = [("Keras", percent(accuracy), size, f"{keras_latency():.3g} ms", "–")]
    names = {"saved-model": "SavedModel", "tflite": "TFLite float32", "tflite-int8": "TFLite int8"}
    for form in FORMS:
        report = reports[form]
        difference = f"{report['largest_difference']:.2g}"
        latency = f"{report['latency_ms']:.3g} ms"
        lines.append((names[form], percent(report["accuracy"]), file_size(report["bytes"]), latency, difference))
    return lines


def verdict() -> list[str]:
    """Returns a line for each promise that is not kept."""
    accuracy = json.loads((RUN / "evaluation.json").read_text(encoding="utf-8"))["top1"]
    reports = {report["format"]: report for report in json.loads((RUN / "exports.json").read_text(encoding="utf-8"))}
    wrong, small = [], reports["tflite-int8"]["accuracy"]
    if accuracy < LEAST_ACCURACY:
        wrong.append(f"held-out accuracy {percent(accuracy)}, expected at least {percent(LEAST_ACCURACY, 0)}")
    if small < accuracy - MOST_LOST:
        wrong.append(f"int8 accuracy {percent(small)}, more than one point below {percent(accuracy)}")
    return wrong


@app.command("demo", epilog="Example: kerasnets demo")
def demo_command() -> None:
    """Train LeNet-5 on handwritten digits, export it three ways, check the files and classify images.

    Takes a minute or two, downloads nothing, and writes to runs/ and saved_models/ in the current folder.
    """
    start = time.monotonic()
    start_tensorflow()
    kerasnets("train", RECIPE, "--overwrite")
    kerasnets("evaluate", str(RUN))
    for form in FORMS:
        kerasnets("export", str(RUN), "--to", form)
    pictures = write_digits(RUN / "digits")
    kerasnets("predict", f"saved_models/{RUN.name}_int8.tflite", *pictures, "--top", "2")
    print()
    columns = ("", "accuracy", "size", "latency, 1 image", "largest difference")
    print_table(columns, summary(), right=columns[1:])
    count = json.loads((RUN / "evaluation.json").read_text(encoding="utf-8"))["examples"]
    took = f"Took {time.monotonic() - start:.0f} s"
    print(f"\nAccuracy of {count} held-out digits. {took}. The report: {RUN / 'report.html'}")
    if wrong := verdict():
        print(f"demo: {'; '.join(wrong)}", file=sys.stderr)
        raise typer.Exit(1)
    print(NEXT, end="")
