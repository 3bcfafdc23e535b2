"""`kerasnets train`."""

from typing import Annotated

import typer

from kerasnets.cli.options import JSON, OVERRIDES, RECIPE
from kerasnets.cli.output import (
    evaluation_figures,
    evaluation_lines,
    print_json,
    print_table,
    start_tensorflow,
    work_on_stderr,
)

app = typer.Typer()
RUN_DIR = Annotated[
    str | None, typer.Option("--run-dir", "--output", "-o", help="The run folder; by default runs/<recipe's name>.")
]
SMOKE = Annotated[bool, typer.Option("--smoke", help="Train for two steps only, to see that the recipe works.")]
RESUME = Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Delete an older run in the run folder.")]


@app.command("train", epilog="Example: kerasnets train recipes/lenet5_digits.yaml --set epochs=5")
def train_command(
    recipe: RECIPE,
    run_dir: RUN_DIR = None,
    overrides: OVERRIDES = None,
    smoke: SMOKE = False,
    resume: RESUME = False,
    overwrite: OVERWRITE = False,
    json: JSON = False,
) -> None:
    """Train a model by a recipe.

    The run folder gets the model, the log, checkpoints, the evaluation and a report.

    SIGTERM and Ctrl-C write a checkpoint and end with exit code 75 and 130; --resume continues. Training on several
    machines: docs/distributed.md.
    """
    from kerasnets.recipe.read import load_recipe

    wanted = load_recipe(recipe, overrides or (), smoke)  # before the seconds that TensorFlow takes to start
    start_tensorflow()
    from kerasnets.distribution.strategy import cluster
    from kerasnets.report.run_report import write_report
    from kerasnets.training.loop import train

    with work_on_stderr():
        run = train(wanted, run_dir, resume=resume, overwrite=overwrite, smoke=smoke)
        if not cluster().is_chief:
            return
        report = write_report(run.path)
    if json:
        print_json({"run": str(run.path), "report": str(report)} | evaluation_figures(run.evaluation))
        return
    print_table(("", ""), [("run", str(run.path)), *evaluation_lines(run.evaluation), ("report", str(report))])
