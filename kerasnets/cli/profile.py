"""`kerasnets profile`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON, NETWORK
from kerasnets.cli.output import print_json, print_table, start_tensorflow, work_on_stderr

app = typer.Typer()
BATCH_SIZE = Annotated[int, typer.Option(help="Images per step.")]
STEPS = Annotated[int, typer.Option(help="How many steps to measure; the median is shown.")]
TRAINING = Annotated[bool, typer.Option(help="Measure a training step too.")]
CHART = Annotated[Path | None, typer.Option(help="Draw the costs of each layer into this file: .svg, .png or .pdf.")]
LAYERS = Annotated[bool, typer.Option("--layers", help="Show every layer.")]


@app.command("profile", epilog="Example: kerasnets profile resnet50 --batch-size 16")
def profile_command(
    target: NETWORK,
    batch_size: BATCH_SIZE = 16,
    steps: STEPS = 10,
    training: TRAINING = True,
    layers: LAYERS = False,
    chart: CHART = None,
    json: JSON = False,
) -> None:
    """Count a model's parameters and multiply-adds, and measure its speed on this machine."""
    start_tensorflow()
    from kerasnets.exporters.profile import profile

    with work_on_stderr():
        if chart:
            from kerasnets.exporters.open_network import open_network
            from kerasnets.report.profile_chart import draw_profile

            target = open_network(target).model
            draw_profile(target, chart)
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
