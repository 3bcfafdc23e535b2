"""`kerasnets export`."""

from typing import Annotated

import typer

from kerasnets.cli.options import JSON, NETWORK, WEIGHTS
from kerasnets.cli.output import file_size, print_json, print_table, share_of, start_tensorflow, work_on_stderr

app = typer.Typer()
FORM = Annotated[str, typer.Option("--to", help="saved-model, tflite, tflite-float16 or tflite-int8.")]
CALIBRATE = Annotated[
    str | None, typer.Option(help="Real images: digits, an .npz file or a folder. By default a run's own.")
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
    allow_random: ALLOW_RANDOM = False,
    examples: EXAMPLES = 500,
    json: JSON = False,
) -> None:
    """Export a trained model, run the exported file in a fresh process and compare it with Keras.

    When the two differ too much, the exit code is 1 and no file is left.
    """
    start_tensorflow()
    from kerasnets.exporters.export import export
    from kerasnets.report.run_report import write_report
    from kerasnets.runs.folder import is_run

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
