"""`kerasnets export`, `kerasnets predict` and `kerasnets profile`."""

import sys
from typing import Annotated

import typer

from kerasnets.cli.output import (
    JSON,
    file_size,
    percent,
    print_json,
    print_table,
    share_of,
    start_tensorflow,
    work_on_stderr,
)

TARGET = Annotated[str, typer.Argument(help="A run folder, a .keras file or a network's name.")]
ANYTHING = Annotated[
    str, typer.Argument(help="A run folder, a .keras or .tflite file, a SavedModel's folder, or a network's name.")
]
IMAGES = Annotated[list[str], typer.Argument(help="Image files, and folders of them.")]
FORM = Annotated[str, typer.Option("--to", help="saved-model, tflite, tflite-float16 or tflite-int8.")]
SOURCE = Annotated[str | None, typer.Option(help="A data source or a folder of images; a run brings its own.")]
OUTPUT = Annotated[str | None, typer.Option("--output", "-o", help="Where to; by default into saved_models/.")]
WEIGHTS = Annotated[str | None, typer.Option(help="For a network by name: imagenet, a checkpoint's tag, or a file.")]
TOP = Annotated[int, typer.Option(help="How many classes to name for each image.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
    app.command("predict", epilog="Example: kerasnets predict runs/lenet5_digits photo.png folder/")(predict_command)
    app.command("export", epilog="Example: kerasnets export runs/lenet5_digits --to tflite-int8")(export_command)
    app.command("profile", epilog="Example: kerasnets profile resnet50 --batch-size 16")(profile_command)


def export_command(
    target: TARGET,
    to: FORM,
    calibrate: SOURCE = None,
    output: OUTPUT = None,
    weights: WEIGHTS = None,
    allow_random: Annotated[bool, typer.Option("--allow-random", help="Export without weights, to try it.")] = False,
    examples: Annotated[int, typer.Option(help="The largest number of images to compare.")] = 500,
    json: JSON = False,
) -> None:
    """Export a trained network, run the file in a fresh process and compare it with Keras.

    Outside its bounds the command exits with 1 and leaves no file under the final name.
    """
    start_tensorflow()
    from kerasnets.exporters.export import export
    from kerasnets.exporters.open_network import is_run
    from kerasnets.report.run_report import write_report

    with work_on_stderr():
        chosen = {"weights": weights, "allow_random": allow_random, "examples": examples}
        report = export(target, to, calibrate, output, **chosen)
        if is_run(target):
            write_report(target)
    if json:
        print_json(report)
        return
    lines = [
        ("file", report["path"]),
        ("size", file_size(report["bytes"])),
        ("compared", f"{report['examples']} images, in a fresh process"),
        ("images", report["images"]),
        ("not checked", "; ".join(report["not_checked"]) or "–"),
        ("largest difference", f"{report['largest_difference']:.2g} (probabilities)"),
        ("top-1 agreement", share_of(report["top1_agreement"], report["examples"])),
        ("accuracy", share_of(report["accuracy"], report["labelled"])),
        ("accuracy of Keras", share_of(report["keras_accuracy"], report["labelled"])),
        ("latency", f"{report['latency_ms']:.3g} ms, one image"),
        ("operators", ", ".join(f"{name} {count}" for name, count in report["ops"].items())),
        ("Flex operators", ", ".join(report["flex_ops"]) or "none"),
        ("float islands", ", ".join(report["float_islands"]) or "none"),
    ]
    print_table(("", ""), lines)


def predict_command(
    target: ANYTHING, images: IMAGES, weights: WEIGHTS = None, top: TOP = 5, json: JSON = False
) -> None:
    """Classify image files.

    A file that cannot be read gets one line on standard error, the others are still classified, and the exit code is 1.
    """
    start_tensorflow()
    from rich.console import Console
    from rich.progress import track

    from kerasnets.exporters.predict import image_files, open_predictor, predict

    files = list(image_files(images))
    if not files:
        raise ValueError(f"The folders should hold at least one image file. Received: {', '.join(images)}")
    with work_on_stderr():
        predictor = open_predictor(target, weights)
    console = Console(stderr=True)
    progress = track(files, "classifying", console=console, transient=True, disable=not console.is_terminal)
    answers = [answer for file in progress for answer in predict(predictor, [file], top)]
    for answer in answers:
        if "error" in answer:
            print(f"kerasnets: {answer['image']}: {answer['error']}", file=sys.stderr)
        elif not json:
            named = ", ".join(f"{p['label']} {percent(p['probability'], 1)}" for p in answer["predictions"])
            print(f"{answer['image']}: {named}")
    if json:
        print_json(answers)
    raise typer.Exit(int(any("error" in answer for answer in answers)))


def profile_command(
    target: TARGET,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 16,
    steps: Annotated[int, typer.Option(help="Measured steps; the median counts.")] = 10,
    training: Annotated[bool, typer.Option(help="Measure a training step too.")] = True,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer.")] = False,
    json: JSON = False,
) -> None:
    """Count a network, layer by layer, and measure its speed on this machine."""
    start_tensorflow()
    from kerasnets.exporters.profile import profile

    with work_on_stderr():
        found = profile(target, batch_size, steps, training=training)
    if json:
        print_json(found)
        return
    if layers:
        columns = ("layer", "kind", "output", "parameters", "multiply-adds")
        print_table(columns, [_layer(row) for row in found["layers"]], right=columns[3:])
    lines = [
        ("network", found["name"]),
        ("parameters", f"{found['parameters']:,}"),
        ("multiply-adds", f"{found['multiply_adds']:,} (convolutions and dense layers, one image)"),
    ]
    for title, key in (("inference", "inference"), ("training step", "training_step")):
        if speed := found[key]:
            rate = f"{speed['milliseconds']:.4g} ms, {speed['images_per_second']:.4g} images/s"
            lines.append((title, f"{rate}, batch {found['batch_size']}"))
    print_table(("", ""), lines)


def _layer(row: dict) -> tuple[str, ...]:
    shape = "x".join(map(str, row["output_shape"]))
    return row["name"], row["kind"], shape, f"{row['parameters']:,}", f"{row['multiply_adds']:,}"
