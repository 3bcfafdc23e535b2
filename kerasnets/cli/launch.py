"""`kerasnets launch`."""

import sys
from typing import Annotated

import typer

app = typer.Typer()
RECIPE = Annotated[str, typer.Argument(help="A recipe (a YAML file). All options of `kerasnets train` may follow.")]
WORKERS = Annotated[int, typer.Option(min=1, help="How many processes; each uses all processor cores.")]
RESTARTS = Annotated[int, typer.Option(min=0, help="How often to restart after a worker was killed.")]


@app.command(
    "launch",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: kerasnets launch --workers 2 recipes/lenet5_digits.yaml --set epochs=5",
)
def launch_command(context: typer.Context, recipe: RECIPE, workers: WORKERS = 2, restarts: RESTARTS = 3) -> None:
    """Train a model in several processes on this machine.

    This tries out a job for several machines. The processes use no GPU. When a worker is killed, all workers restart
    from the last checkpoint. Training on several machines: docs/distributed.md.
    """
    from kerasnets.distribution.local_workers import run_with_restarts

    command = [sys.executable, "-m", "kerasnets", "train", recipe, *context.args]
    raise typer.Exit(run_with_restarts(command, workers, restarts))
