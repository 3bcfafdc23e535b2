"""`kerasnets list`: answered from the model index, without TensorFlow."""

from typing import Annotated

import typer

from kerasnets.cli.options import JSON
from kerasnets.cli.output import print_json, print_table
from kerasnets.model_index import list_models, read_model_index

app = typer.Typer()
PATTERN = Annotated[str | None, typer.Argument(help="Only names that match a shell pattern such as 'resnet*'.")]
FAMILY = Annotated[str | None, typer.Option(help="Only this family, for example resnet.")]
WEIGHTS = Annotated[bool | None, typer.Option("--weights/--no-weights", help="Only with, or without, public weights.")]


@app.command("list", epilog="Example: kerasnets list 'resnet*' --json")
def list_command(pattern: PATTERN = None, family: FAMILY = None, weights: WEIGHTS = None, json: JSON = False) -> None:
    """List the models."""
    rows = read_model_index()
    names = list_models(pattern, family=family, weights=weights)
    if json:
        print_json([{"name": name} | rows[name] for name in names])
        return
    columns = ("name", "paper", "input", "parameters", "multiply-adds")
    print_table(columns, [_line(name, rows[name]) for name in names], right=columns[3:])


def _line(name: str, row: dict) -> tuple[str, ...]:
    paper = f"{row['paper']['authors'].split(',')[0]} {row['paper']['year']}"
    shape = "x".join(map(str, row["input_shape"]))
    return name, paper, shape, f"{row['parameters']:,}", f"{row['multiply_adds']:,}"
