"""`kerasnets list`: answered from the model index, without TensorFlow."""

from fnmatch import fnmatchcase as fnmatch
from typing import Annotated

import typer

from kerasnets.cli.options import JSON
from kerasnets.cli.output import print_json, print_table
from kerasnets.model_index import list_models, list_pretrained, read_model_index
from kerasnets.recipe.shipped import recipe_names, recipe_title

app = typer.Typer()
PATTERN = Annotated[str | None, typer.Argument(help="Only names that match a shell pattern such as 'resnet*'.")]
FAMILY = Annotated[str | None, typer.Option(help="Only this family, for example resnet.")]
WEIGHTS = Annotated[bool | None, typer.Option("--weights/--no-weights", help="Only with, or without, public weights.")]
PRETRAINED = Annotated[bool, typer.Option("--pretrained", help="List the public weights instead, as name.tag.")]
RECIPES = Annotated[bool, typer.Option("--recipes", help="List the recipes that come with the package instead.")]


@app.command("list", epilog="Example: kerasnets list 'resnet*' --json")
def list_command(
    pattern: PATTERN = None,
    family: FAMILY = None,
    weights: WEIGHTS = None,
    pretrained: PRETRAINED = False,
    recipes: RECIPES = False,
    json: JSON = False,
) -> None:
    """List the models, their public weights, or the recipes."""
    if recipes:
        if family is not None or weights is not None:
            raise ValueError("--recipes goes with a pattern only. Received: --family or --weights")
        found = [
            {"name": name, "title": recipe_title(name)} for name in recipe_names() if fnmatch(name, pattern or "*")
        ]
        print_json(found) if json else print_table(("name", "what is trained"), [tuple(r.values()) for r in found])
        return
    if pretrained:
        tagged = list_pretrained(pattern, family=family)
        print_json(tagged) if json else print("\n".join(tagged))
        return
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
