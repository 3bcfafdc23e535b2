"""What ends a run before its end: SIGTERM, a worker that is lost, numbers that are none.

A run that was stopped from outside goes on with `--resume` and says so by its exit code, 75 (the system's EX_TEMPFAIL,
"try again later").
"""

import contextlib
import math
import signal
import threading

import numpy as np
import tensorflow as tf

from kerasnets.data.pipeline import batch_names
from kerasnets.training import checkpoints
from kerasnets.training.runs import append_log
from kerasnets.training.strategy import cluster

NAMED = 3  # so many images of a bad batch stand in the message; the log has them all
# Loss scaling halves its scale at each step that it leaves out: after so many in a row no scale is left to try.
INFINITE_STEPS = 30
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
LOST += (tf.errors.InternalError, tf.errors.FailedPreconditionError, tf.errors.UnknownError)


class Stopped(RuntimeError):
    """A run that was stopped from outside and goes on with `--resume`."""

    exit_code = 75


class Wish:
    """Whether the process was asked to end."""

    def __init__(self):
        self.asked = False

    def ask(self, *_) -> None:
        """Notes that somebody asked; a signal handler."""
        self.asked = True


@contextlib.contextmanager
def sigterm_noted():
    """A context in which SIGTERM is only noted, in the `Wish` that it gives, so that a checkpoint can be written."""
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield wish
        return
    former = signal.signal(signal.SIGTERM, wish.ask)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGTERM, former)


@contextlib.contextmanager
def lost_workers_explained():
    """A context in which the error of a step that another worker did not finish becomes one plain line."""
    try:
        yield
    except LOST:
        if cluster().workers == 1:
            raise
        raise Stopped(
            "Another worker was lost, or the way to it; start the same command on all machines again with --resume"
        ) from None


def bad_numbers(job, what: str, first: int, last: int) -> RuntimeError:
    """Returns the error of a run whose numbers are none, and puts it into the log with the names of the images.

    Args:
        what: what is wrong, such as `"The loss is nan"`.
        first, last: the steps, counted from 1, one of which did it.
    """
    recipe = job.recipe
    steps = range(first - 1, last)
    names = [
        name for step in steps for name in batch_names(job.source, recipe.data, recipe.batch_size, recipe.seed, step)
    ]
    found = checkpoints.load_newest(job.folder / "checkpoints")
    good = f"the last good checkpoint is that of step {found[1]['step']}" if found else "there is no checkpoint yet"
    append_log(job.folder, "bad_numbers", message=what, first_step=first, last_step=last, images=names)
    place = f"step {last}" if first == last else f"one of the steps {first} to {last}"
    epoch = (last - 1) // job.steps_per_epoch + 1
    return RuntimeError(
        f"{what} at {place} (epoch {epoch}), whose images are {', '.join(names[:NAMED])} and "
        f"{max(len(names) - NAMED, 0)} more (all of them in log.jsonl); {good}. "
        "Try a lower optimizer.learning_rate, a longer schedule.warmup_epochs or optimizer.clip_norm."
    )


def check_loss(job, loss, first: int, last: int) -> None:
    """Ends the run if the loss of the steps `first` to `last` is no number."""
    if not math.isfinite(loss):
        raise bad_numbers(job, f"The loss is {loss}", first, last)


def check_infinite_steps(job, count: int, step: int) -> None:
    """End a run with loss scaling whose last `count` steps all had an infinite loss, if they are too many."""
    if count >= INFINITE_STEPS:
        raise bad_numbers(job, f"The loss was infinite in {count} steps in a row, the last of them", step, step)


def check_weights(job, tensors: dict[str, np.ndarray], step: int) -> None:
    """Ends the run if the weights that a checkpoint is to hold are no numbers."""
    if not all(np.isfinite(value).all() for name, value in tensors.items() if name.startswith("network")):
        raise bad_numbers(job, "The weights are no longer numbers", step, step)
