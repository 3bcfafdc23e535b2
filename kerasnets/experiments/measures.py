"""The numbers that an experiment takes of a finished run. Those of the log are read without TensorFlow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kerasnets.experiments.schema import MeasureOptions
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.log import read_log

FILE = "measures.json"


class Kind(NamedTuple):
    """What a measure is called, whether it is a share of 1, and whether chance has no influence on it."""

    title: str
    share: bool = False
    exact: bool = False


KINDS = {
    "held_out_error": Kind("held-out error", share=True),
    "held_out_loss": Kind("held-out loss"),
    "training_error": Kind("training error", share=True),
    "training_loss": Kind("training loss"),
    "fitted_error": Kind("error on the training images after training", share=True),
    "epochs_to": Kind("epochs to a training error of {below:.0%}"),
    "seconds": Kind("seconds of training an epoch"),
    "parameters": Kind("parameters", exact=True),
    "multiply_adds": Kind("multiply-adds", exact=True),
    "lesion_error": Kind("held-out error with one block removed", share=True),
    "column_error": Kind("held-out error of column {column} alone", share=True),
    "receptive_field": Kind("side of the effective receptive field (pixels)"),
    "sharpness": Kind("rise of the training loss in a random direction"),
}
# Measure -> key of an epoch in the log, and whether the log has the share of right answers instead.
LOGGED = {
    "training_error": ("top1", True), "training_loss": ("loss", False),
    "held_out_error": ("val_top1", True), "held_out_loss": ("val_loss", False),
}  # fmt: skip


def title(measure: MeasureOptions) -> str:
    """Returns what a measure is called in tables and charts."""
    after = f" in epoch {measure.epoch}" if measure.epoch else ""
    return KINDS[measure.name].title.format(**measure.model_dump()) + after


def key(measure: MeasureOptions) -> str:
    """Returns the name of a measure and its options, under which `measures.json` keeps it."""
    options = measure.model_dump(exclude_none=True)
    name = options.pop("name")
    return name + "".join(f",{option}={value}" for option, value in options.items())


def measure_run(run, measures) -> dict[str, float]:
    """Measures a finished run and keeps the numbers in its folder, so that each is measured once.

    Args:
        run: a `kerasnets.runs.folder.Run`.
        measures: the `MeasureOptions` that are wanted.
    """
    known = read_measures(run.path)
    for measure in measures:
        if key(measure) not in known:
            known[key(measure)] = float(_FUNCTIONS[measure.name](run, measure))
            write_atomically(run.path / FILE, json.dumps(known, indent=1) + "\n")
    return {key(measure): known[key(measure)] for measure in measures}


def read_measures(run_folder: Path) -> dict[str, float]:
    """Returns what was measured of a run so far."""
    path = Path(run_folder) / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def curve(run_folder: Path, name: str) -> list[tuple[int, float]]:
    """Returns (epoch, value) for a measure of the log; epochs without an evaluation have no held-out values."""
    column, right = LOGGED[name]
    epochs = [event for event in read_log(run_folder) if event.get("event") == "epoch" and column in event]
    return [(event["epoch"], 1 - event[column] if right else event[column]) for event in epochs]


def _of_the_log(run, measure: MeasureOptions) -> float:
    points = dict(curve(run.path, measure.name))
    epoch = measure.epoch or max(points)
    if epoch not in points:
        raise ValueError(f"The run has {max(points)} epochs. Received: measure {measure.name} with epoch={epoch}")
    return points[epoch]


def _epochs_to(run, measure: MeasureOptions) -> float:
    """The first epoch whose training error is small enough; one more than the run has if there is none."""
    points = curve(run.path, "training_error")
    return next((epoch for epoch, error in points if error <= measure.below), len(points) + 1)


def _seconds(run, measure: MeasureOptions) -> float:
    """The median over all epochs but the first, in which the graph is made; evaluation is not counted."""
    from statistics import median

    epochs = [event for event in read_log(run.path) if event.get("event") == "epoch"]
    steps = epochs[0]["step"]
    images = steps * run.recipe.batch_size
    return median(images / event["images_per_second"] for event in epochs[1:] or epochs)


def _complexity(run, measure: MeasureOptions) -> float:
    from kerasnets.graph.cost import complexity

    return getattr(complexity(run.model), measure.name)


def _probe(name: str) -> Callable:
    def measured(run, measure: MeasureOptions) -> float:
        from kerasnets.experiments import probes

        return getattr(probes, name)(run, measure)

    return measured


_FUNCTIONS = {
    "held_out_error": lambda run, measure: 1 - run.evaluation["top1"],
    "held_out_loss": lambda run, measure: run.evaluation["loss"],
    "training_error": _of_the_log,
    "training_loss": _of_the_log,
    "fitted_error": _probe("fitted_error"),
    "epochs_to": _epochs_to,
    "seconds": _seconds,
    "parameters": _complexity,
    "multiply_adds": _complexity,
    "lesion_error": _probe("lesion_error"),
    "column_error": _probe("column_error"),
    "receptive_field": _probe("receptive_field"),
    "sharpness": _probe("sharpness"),
}
