"""`kerasnets compare`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON
from kerasnets.cli.output import file_size, print_json, print_table, work_on_stderr

app = typer.Typer()
NAMES = Annotated[list[str] | None, typer.Argument(help="Names or patterns: resnet*, resnet50_v1_5.* (checkpoints).")]
MEASURE = Annotated[bool, typer.Option("--measure", help="Measure time and peak memory of each network here.")]
STEPS = Annotated[int, typer.Option(min=1, help="How many batches to measure.")]
OUTPUT = Annotated[Path | None, typer.Option("--output", "-o", help="A folder for the table, the charts and a page.")]


@app.command("compare", epilog="Example: kerasnets compare 'resnet*' mobilenet_v2 -o comparison/")
def compare_command(
    names: NAMES = None, measure: MEASURE = False, steps: STEPS = 10, output: OUTPUT = None, json: JSON = False
) -> None:
    """Compare networks by published accuracy, multiply-adds and parameters, and by speed measured on this machine.

    -o writes comparison.csv, charts as SVG and PNG, and index.html.
    """
    from kerasnets.report.comparison import compare, measured_text

    with work_on_stderr():
        rows = compare(names, measure=measure, steps=steps, output=output)
    if json:
        print_json(rows)
        return
    columns = ["network", "year", "checkpoint", "training", "top-1", "M parameters", "G multiply-adds"]
    columns += ["1 image (ms)", "16 images (ms)", "peak memory"] * measure
    print_table(columns, [_line(row) for row in rows], right=columns[4:])
    if measure:
        print(measured_text(rows))
    if output is not None:
        print(f"written: {output / 'index.html'}")


def _line(row: dict) -> list[str]:
    from kerasnets.report.comparison import timed_text

    line = [row["name"], str(row["year"]), f"{row['checkpoint']}, {row['source']}", row["training"]]
    line += [f"{row['top1']:.1f}", f"{row['parameters'] / 1e6:.2f}", f"{row['multiply_adds'] / 1e9:.3f}"]
    if "milliseconds_1" in row:
        line += [timed_text(row, 1), timed_text(row, 16), file_size(row["peak_memory"])]
    return line
