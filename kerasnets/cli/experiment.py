"""`kerasnets experiment`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON, OVERRIDES
from kerasnets.cli.output import print_json, print_table, start_tensorflow, work_on_stderr

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Test the claims of the papers: list experiments, run one, report it.")
app.add_typer(group, name="experiment")
NAME = Annotated[str, typer.Argument(help="An experiment: a name from `kerasnets experiment list`, or a YAML file.")]
ARMS = Annotated[str | None, typer.Option("--arms", help="Only these arms, with commas between them.")]
SEEDS = Annotated[int | None, typer.Option("--seeds", min=1, help="How many seeds instead of the file's.")]
OUTPUT = Annotated[Path | None, typer.Option("--output", "-o", help="The folder; by default runs/experiments/NAME.")]
RESUME = Annotated[bool, typer.Option("--resume", help="Continue an experiment that was stopped.")]
SMOKE = Annotated[bool, typer.Option("--smoke", help="Train each arm for two steps only, to see that it works.")]
FULL = Annotated[bool, typer.Option("--full", help="With the file's changes for the paper's size.")]
JOBS = Annotated[int, typer.Option("--jobs", min=1, help="How many processes share the runs on this machine.")]
ENGINE = Annotated[str, typer.Option("--engine", help="local, or ray for a Ray cluster.")]
TASK = Annotated[int | None, typer.Option("--task", min=0, help="Do only one share of the runs, counted from 0.")]
OF = Annotated[int | None, typer.Option("--of", min=1, help="How many shares there are; goes with --task.")]
FOLDER = Annotated[str, typer.Argument(help="The folder of an experiment, its file, or its name in runs/experiments.")]


@group.command("list", epilog="Example: kerasnets experiment list --json")
def list_command(json: JSON = False) -> None:
    """List the experiments that come with the package."""
    from kerasnets.experiments.read import load_experiment
    from kerasnets.recipe.shipped import experiment_names

    found = {name: load_experiment(name) for name in experiment_names()}
    if json:
        keys = ("chapter", "claim")
        print_json([{"name": n} | {k: getattr(e, k) for k in keys} | {"arms": [*e.arms]} for n, e in found.items()])
        return
    print_table(("name", "runs", "claim"), [(n, str(len(e.arms) * e.seeds), e.claim) for n, e in found.items()])


@group.command("run", epilog="Example: kerasnets experiment run lenet_distortions --seeds 5")
def run_command(
    name: NAME,
    arms: ARMS = None,
    seeds: SEEDS = None,
    overrides: OVERRIDES = None,
    output: OUTPUT = None,
    resume: RESUME = False,
    smoke: SMOKE = False,
    full: FULL = False,
    jobs: JOBS = 1,
    engine: ENGINE = "local",
    task: TASK = None,
    of: OF = None,
    json: JSON = False,
) -> None:
    """Run an experiment: train every arm with every seed, and judge the claim.

    Each run is a run folder like those of `kerasnets train`. --resume goes on after a stop or a kill. --task and --of
    divide the runs between the tasks of a Slurm array, which share the folder: docs/experiments.md.
    """
    if (task is None) != (of is None):
        raise ValueError(f"--task and --of go together. Received: --task {task}, --of {of}")
    choices = {"arms": [arm.strip() for arm in (arms or "").split(",") if arm.strip()], "seeds": seeds}
    choices |= {"overrides": overrides or (), "smoke": smoke, "full": full}
    from kerasnets.experiments.read import load_experiment

    load_experiment(name, **choices)  # before the seconds that TensorFlow takes to start
    start_tensorflow()
    from kerasnets.experiments.run import run_experiment

    share = None if task is None else (task, of)
    with work_on_stderr():
        how = {"resume": resume, "jobs": jobs, "engine": engine, "task": share}
        result = run_experiment(name, output, **choices, **how)
    _show(result, json)


@group.command("report", epilog="Example: kerasnets experiment report lenet_distortions")
def report_command(name: FOLDER, json: JSON = False) -> None:
    """Write the report of an experiment from the runs that it has so far: report.html and report.md."""
    from kerasnets.experiments.result import gather

    name = name.removesuffix(".yaml")  # the file of an experiment stands for its runs
    _show(gather(name if Path(name).is_dir() else Path("runs") / "experiments" / name), json)


def _show(result, json: bool) -> None:
    """Writes the report of a result and prints the result; ends with exit code 1 if a run failed."""
    from kerasnets.experiments.result import plain
    from kerasnets.report.experiment import arms_table, experiment_report, notes, statements_table

    report = experiment_report(result)
    if json:
        print_json(plain(result) | {"path": str(result.path), "report": str(report)})
    else:
        columns, rows = arms_table(result)
        print_table(columns, rows, right=columns[1:])
        print()
        columns, rows = statements_table(result)
        print_table(columns, rows, right=columns[1:4])
        print()
        lines = [("claim", result.experiment.claim), ("verdict", result.verdict), ("report", str(report))]
        print_table(("", ""), lines + [("note", note) for note in notes(result)])
    if result.failed:
        raise typer.Exit(1)
