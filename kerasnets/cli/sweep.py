"""`kerasnets sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON, OVERRIDES, RECIPE
from kerasnets.cli.output import print_json, print_table, start_tensorflow, work_on_stderr

app = typer.Typer()
SPACE = Annotated[Path | None, typer.Option("--space", help="A YAML file with the keys to vary and their values.")]
TRIALS = Annotated[int, typer.Option("--trials", min=1, help="How many trials there are in the end.")]
OUTPUT = Annotated[Path | None, typer.Option("--output", "-o", help="The folder; by default runs/sweeps/NAME.")]
FIND = Annotated[bool, typer.Option("--find-learning-rate", help="Only suggest a learning rate; takes 100 steps.")]
SMOKE = Annotated[bool, typer.Option("--smoke", help="Train each trial for two steps only, to see that it works.")]


@app.command("sweep", epilog="Example: kerasnets sweep lenet5_digits --find-learning-rate")
def sweep_command(
    recipe: RECIPE,
    space: SPACE = None,
    trials: TRIALS = 20,
    overrides: OVERRIDES = None,
    output: OUTPUT = None,
    find_learning_rate: FIND = False,
    smoke: SMOKE = False,
    json: JSON = False,
) -> None:
    """Search the best values of a recipe's keys with Optuna.

    Trials are judged by the validation split. One that is worse than the median of the others is stopped early. The
    best recipe is written as best.yaml. The same command continues a sweep that was stopped or killed:
    docs/experiments.md.
    """
    from kerasnets.recipe.read import load_recipe

    load_recipe(recipe, overrides or (), smoke)  # before the seconds that TensorFlow takes to start
    if find_learning_rate == (space is not None):
        raise ValueError(
            f"A sweep needs either --space FILE or --find-learning-rate. Received: --space {space}, "
            f"--find-learning-rate {find_learning_rate}"
        )
    start_tensorflow()
    with work_on_stderr():
        if find_learning_rate:
            from kerasnets.experiments.learning_rate import find_learning_rate as find

            found = find(recipe, overrides=overrides or ())
            lines = [(name, f"{found[name]:g}") for name in ("suggestion", "steepest", "lowest")]
        else:
            from kerasnets.experiments.sweep import sweep

            found = sweep(recipe, space, output, trials=trials, overrides=overrides or (), smoke=smoke)
            lines = [*((key, str(value)) for key, value in found["best"].items()), ("value", f"{found['value']:.5g}")]
            lines += [(name, str(found[name])) for name in ("trials", "pruned", "failed", "recipe")]
    print_json(found) if json else print_table(("", ""), lines)
