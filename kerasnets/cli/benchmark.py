"""`kerasnets benchmark`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON, OVERRIDES, RECIPE
from kerasnets.cli.output import percent, print_json, print_table, start_tensorflow, work_on_stderr

EXAMPLE = "Example: kerasnets benchmark data recipes/lenet5_digits.yaml"
RECIPE_EXAMPLE = "Example: kerasnets benchmark recipe recipes/lenet5_digits.yaml"
IMAGES = Annotated[int, typer.Option(min=1, help="How many images to time in each stage.")]
TFLITE_EXAMPLE = "Example: kerasnets benchmark tflite saved_models/lenet5_digits.tflite"
FILE = Annotated[Path, typer.Argument(help="A .tflite file.")]
RUNS = Annotated[int, typer.Option(min=1, help="How many runs to measure.")]
GPU = Annotated[bool, typer.Option("--gpu", help="Use LiteRT's GPU accelerator on this machine.")]
ADB = Annotated[bool, typer.Option("--adb", help="Print the commands for an Android phone instead.")]
STEPS = Annotated[int, typer.Option(min=1, help="How many steps to time in each part.")]

app = typer.Typer(
    name="benchmark",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure the parts of a recipe, or an exported file, on this machine.",
    epilog=EXAMPLE,
)


@app.command("data", epilog=EXAMPLE)
def data_command(recipe: RECIPE, overrides: OVERRIDES = None, images: IMAGES = 512, json: JSON = False) -> None:
    """Measure each stage of a recipe's input pipeline, and name the slowest."""
    start_tensorflow()
    from kerasnets.data.pipeline import op_determinism
    from kerasnets.data.pipeline_benchmark import WHOLE, measure_stages
    from kerasnets.data.sources import open_source
    from kerasnets.recipe.read import load_recipe
    from kerasnets.training.prepare import make_preprocessing

    with work_on_stderr():
        read = load_recipe(recipe, overrides or ())
        source = open_source(read.data.source, read.data.train_split)
        settings = {"batch_size": read.batch_size, "seed": read.seed, "images": images}
        with op_determinism(read.deterministic):
            stages = measure_stages(source, make_preprocessing(read), read.data, **settings)
    whole = stages[-1]
    slowest = max(stages[:-1], key=lambda stage: stage.cpu_microseconds)
    if json:
        print_json({"stages": [stage._asdict() for stage in stages], "slowest": slowest.name})
        return
    columns = ("stage", "images/s", "us of a core per image")
    rows = [(s.name, f"{s.images_per_second:,.0f}", f"{s.cpu_microseconds:,.0f}") for s in stages]
    print_table(columns, rows, right=columns[1:])
    print(
        f"slowest: {slowest.name}, {slowest.images_per_second:,.0f} images/s on its own; {WHOLE}: "
        f"{whole.images_per_second:,.0f} images/s"
    )


@app.command("recipe", epilog=RECIPE_EXAMPLE)
def recipe_command(recipe: RECIPE, overrides: OVERRIDES = None, steps: STEPS = 20, json: JSON = False) -> None:
    """Measure a recipe's training step and its input, and say what would make the training faster."""
    start_tensorflow()
    from kerasnets.training.benchmark import measure

    with work_on_stderr():
        found = measure(recipe, overrides=overrides or (), steps=steps)
    if json:
        print_json(found._asdict())
        return
    devices = f"{found.devices} device{'s' * (found.devices > 1)}"
    rows = [
        ("batch", f"{found.batch_size:,} images on {devices}, {found.precision}"),
        ("step", f"{found.step_ms:,.1f} ms without input"),
        ("input", f"{found.input_ms:,.1f} ms without the step; to keep up it needs {found.input_cores:.1f} cores"),
        ("training", f"{found.together_ms:,.1f} ms a step, {found.images_per_second:,.0f} images/s"),
        ("stall", f"{found.stall_ms:,.1f} ms a step"),
        ("utilisation", percent(found.utilisation, 0)),
        *(("change", line) for line in found.advice or ["nothing: the device is busy all the time"]),
    ]
    print_table(("", ""), rows)


@app.command("tflite", epilog=TFLITE_EXAMPLE)
def tflite_command(file: FILE, runs: RUNS = 50, gpu: GPU = False, adb: ADB = False, json: JSON = False) -> None:
    """Measure a TFLite file by LiteRT's own benchmark, on one thread and on all threads.

    --adb prints the commands that measure it on an Android phone. They need LiteRT's program benchmark_model, from
    https://ai.google.dev/edge/litert/models/measurement.
    """
    from kerasnets.exporters.latency import measure_latency, phone_commands

    if adb:
        if not file.is_file():
            raise FileNotFoundError(f"There is no such file. Received: {str(file)!r}")
        print(*phone_commands(file), sep="\n")
        return
    found = measure_latency(file, runs, gpu=gpu)
    if json:
        print_json(found)
        return
    columns = ("threads", "on", "median ms", "5 %", "95 %", "loading ms")
    names = ("median_ms", "p5_ms", "p95_ms", "init_ms")
    rows = [(row["threads"], ", ".join(row["accelerators"]), *(f"{row[name]:.2f}" for name in names)) for row in found]
    print_table(columns, rows, right=("threads", *columns[2:]))
