"""`kerasnets train`, `kerasnets launch` and `kerasnets evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.output import JSON, percent, print_json, print_table, start_tensorflow, work_on_stderr
from kerasnets.distribution import local_workers

RECIPE = Annotated[str, typer.Argument(help="A recipe, a YAML file.")]
RUN_DIR = Annotated[
    str | None, typer.Option("--run-dir", "--output", "-o", help="The run folder; by default runs/<the recipe's name>.")
]
OVERRIDES = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: optimizer.learning_rate=0.05.")
]
TARGETS = Annotated[
    list[str], typer.Argument(help="A run folder, a .keras file or a network's name; several vote together.")
]
WEIGHTS = Annotated[str | None, typer.Option(help="For a network by name: imagenet, a checkpoint's tag, or a file.")]
DATA = Annotated[
    str | None,
    typer.Option(help="Labelled images: digits, .npz file, folder (images or shards), tfds:NAME; a run has its own."),
]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
    app.command("train", epilog="Example: kerasnets train recipes/lenet5_digits.yaml --set epochs=5")(train_command)
    local_workers.add_commands(app)

    @app.command("evaluate", epilog="Example: kerasnets evaluate runs/lenet5_digits --json")
    def evaluate_command(
        targets: TARGETS,
        weights: WEIGHTS = None,
        data: DATA = None,
        split: Annotated[str | None, typer.Option(help="Which split of the data.")] = None,
        crops: Annotated[
            str, typer.Option(help="1, 10, alexnet (ten of the central square) or 144 (GoogLeNet's).")
        ] = "1",
        dense: Annotated[
            str | None, typer.Option(help="Slide over whole images with these shorter sides: 256,384.")
        ] = None,
        flip: Annotated[bool, typer.Option("--flip", help="Look at the mirror image as well.")] = False,
        vote: Annotated[str, typer.Option(help="How several networks vote: mean or majority.")] = "mean",
        batch_size: Annotated[int | None, typer.Option(help="Images at a time; changes nothing but the speed.")] = None,
        json: JSON = False,
    ) -> None:
        """Evaluate trained networks on held-out images, every one exactly once: by one crop, by many, or together."""
        with work_on_stderr():
            if len(targets) == 1 and crops == "1" and not dense and not flip and vote == "mean":
                found = _evaluate(targets[0], weights, data, split, batch_size)
            else:
                looks = {"crops": crops, "dense": _scales(dense), "flip": flip}
                found = _evaluate_together(targets, (weights, data, split, batch_size), looks, vote)
        if json:
            print_json(found)
        else:
            print_table(("", ""), _lines(found))


def train_command(
    recipe: RECIPE,
    run_dir: RUN_DIR = None,
    overrides: OVERRIDES = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Two steps through the same trainer.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an older run away.")] = False,
    json: JSON = False,
) -> None:
    """Train a network by a recipe: the run folder holds model, log, checkpoints, evaluation and report.

    SIGTERM and Ctrl-C write a checkpoint and end with exit code 75 and 130; --resume goes on. Several machines:
    docs/distributed.md.
    """
    from kerasnets.recipe.read import load_recipe

    wanted = load_recipe(recipe, overrides or (), smoke)  # a slip is answered before TensorFlow is there
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
        print_json({"run": str(run.path), "report": str(report)} | _figures(run.evaluation))
        return
    print_table(("", ""), [("run", str(run.path)), *_lines(run.evaluation), ("report", str(report))])


def _evaluate(target: str, weights: str | None, data: str | None, split: str | None, batch_size: int | None) -> dict:
    start_tensorflow()
    from kerasnets.evaluation.evaluate import evaluate

    opened, source, options = _open(target, weights, data, split)
    settings = {"batch_size": batch_size} if batch_size else {}
    return evaluate(opened.model, source, opened.preprocessing, options, **settings)


def _evaluate_together(targets: list[str], settings: tuple, looks: dict, vote: str) -> dict:
    start_tensorflow()
    from kerasnets.evaluation.ensemble import Looks, check_vote, predict, together

    weights, data, split, batch_size = settings
    look = Looks(**looks)
    check_vote(vote)
    predictions, members = [], []
    for target in targets:
        opened, source, options = _open(target, weights, data, split)
        predictions.append(predict(opened.model, source, opened.preprocessing, options, look, batch_size or 64))
        members.append({"target": target} | _figures(together(predictions[-1:])))
    return looks | {"views": look.views, "vote": vote, "members": members} | together(predictions, vote)


def _open(target: str, weights: str | None, data: str | None, split: str | None):
    """Returns a target, the labelled images that it is evaluated on, and their options."""
    from kerasnets.data.sources import open_source
    from kerasnets.exporters.open_network import open_target

    opened = open_target(target, weights)
    if opened.random or opened.run is None and data is None:
        raise ValueError(f"A network by name is evaluated with --weights and --data. Received: target={target!r}")
    options = _data_options(data) if data else opened.data
    return opened, open_source(options.source, split or options.evaluation_split), options


def _scales(text: str | None) -> tuple[int, ...]:
    """Returns the numbers of `256,384,512`."""
    parts = text.split(",") if text else []
    if not all(part.strip().isdigit() and int(part) for part in parts):
        raise ValueError(f"--dense takes whole numbers with commas between them, 256,384,512. Received: {text!r}")
    return tuple(int(part) for part in parts)


def _data_options(text: str):
    """Returns the options of the data that `text` names on the command line."""
    from kerasnets.recipe.data_options import DataOptions, SourceOptions

    kind, _, name = text.partition(":")
    if text == "digits":
        return DataOptions(source=SourceOptions(kind="digits"))
    if kind == "tfds" and name:
        return DataOptions(source=SourceOptions(kind="tfds", name=name))
    if text.endswith(".npz"):
        return DataOptions(source=SourceOptions(kind="arrays", path=text))
    if not Path(text).is_dir():
        raise FileNotFoundError(f"--data should be digits, an .npz file, a folder, or tfds:NAME. Received: {text!r}")
    shards = any(Path(text).glob("*.tfrecord"))
    return DataOptions(source=SourceOptions(kind="tfrecord" if shards else "folder", path=text))


def _figures(evaluation: dict) -> dict:
    return {key: evaluation[key] for key in ("examples", "top1", "top5", "loss", "chosen_on") if key in evaluation}


def _lines(evaluation: dict) -> list[tuple[str, str]]:
    members = evaluation.get("members", [])
    return [
        *((member["target"], f"{percent(member['top1'])} top-1") for member in members if len(members) > 1),
        ("images", f"{evaluation['examples']:,}, every one exactly once"),
        ("top-1", percent(evaluation["top1"])),
        ("top-5", percent(evaluation["top5"])),
        ("loss", f"{evaluation['loss']:.4f}"),
        *[("note", "these images also chose the epoch") for _ in "1" if evaluation.get("chosen_on") == "evaluation"],
    ]
