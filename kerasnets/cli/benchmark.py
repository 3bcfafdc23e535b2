"""`kerasnets benchmark`: how fast the parts of a recipe are on this machine."""

from typing import Annotated

import typer

from kerasnets.cli.evaluate import OVERRIDES, RECIPE
from kerasnets.cli.output import JSON, print_json, print_table, start_tensorflow, work_on_stderr

IMAGES = Annotated[int, typer.Option(min=1, help="How many images to time in each stage.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure the parts of a recipe.")
    group.command("data", epilog="Example: kerasnets benchmark data recipes/lenet5_digits.yaml")(data_command)
    app.add_typer(group, name="benchmark", epilog="Example: kerasnets benchmark data recipes/lenet5_digits.yaml")


def data_command(recipe: RECIPE, overrides: OVERRIDES = None, images: IMAGES = 512, json: JSON = False) -> None:
    """Measure the input pipeline of a recipe stage by stage, and name the slowest."""
    start_tensorflow()
    from kerasnets.architectures.catalogue import FAMILIES
    from kerasnets.data.determinism import op_determinism
    from kerasnets.data.pipeline_benchmark import WHOLE, measure_stages
    from kerasnets.data.sources import open_source
    from kerasnets.recipe.read import load_recipe
    from kerasnets.training.prepare import make_preprocessing

    with work_on_stderr():
        assert FAMILIES  # importing the families is what registers their rows
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
