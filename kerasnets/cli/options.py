"""The arguments and options that several commands share."""

from typing import Annotated

import typer

RECIPE = Annotated[str, typer.Argument(help="A recipe: a name from `kerasnets list --recipes`, or a YAML file.")]
OVERRIDES = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe: optimizer.learning_rate=0.05."),
]
NETWORK = Annotated[str, typer.Argument(help="A run folder, a .keras file or a model's name.")]
WEIGHTS = Annotated[
    str | None, typer.Option(help="Weights for a model's name: imagenet, a checkpoint's tag or a file.")
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
