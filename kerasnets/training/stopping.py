"""What ends a run before its end: a signal, and numbers that are none (failures.py: a lost worker, other errors).

A run that was stopped from outside goes on with `--resume`. It says so by its exit code, which is 75 after SIGTERM (the
system's EX_TEMPFAIL, "try again later") and 130 after Ctrl-C, so that no scheduler starts it again.
"""

import contextlib
import math
import signal
import sys
import threading

import numpy as np

from kerasnets.data.pipeline import batch_names
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import append_log

NAMED = 3  # so many images of a bad batch stand in the message; the log has them all
# Loss scaling halves its scale at each step that it leaves out: after so many in a row no scale is left to try.
INFINITE_STEPS = 30


class Stopped(RuntimeError):
    """A run that was stopped from outside and goes on with `--resume`."""

    exit_code = 75


class Interrupted(KeyboardInterrupt):
    """A run that was stopped by Ctrl-C; as `Stopped`, for a person and not for a scheduler."""


class StopRequest:
    """Which signal asked the process to end, if one did.

    Attributes:
        asked: the signal, or 0.
        at_once: whether no checkpoint is left to write, so that a signal ends the run where it is.
    """

    def __init__(self):
        self.asked = 0
        self.at_once = False

    def ask(self, number: int, frame=None) -> None:
        """Notes a signal; a signal handler. A second Ctrl-C ends the run where it is."""
        again, self.asked = self.asked == signal.SIGINT, number
        if self.at_once:
            self.end_at_once()
        if number == signal.SIGINT:
            if again:
                raise KeyboardInterrupt
            print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    def end_at_once(self) -> None:
        """Has a signal, also one that was noted already, end the run where it is."""
        self.at_once = True
        if self.asked:
            raise self.stopped("the last checkpoint is written")

    def stopped(self, what: str) -> BaseException:
        """Returns what to raise when the run is stopped, by this process's signal or by another worker's."""
        if self.asked == signal.SIGINT:
            return Interrupted(f"Stopped by Ctrl-C; {what}, go on with --resume")
        return Stopped(f"Stopped by SIGTERM; {what}, go on with --resume")


@contextlib.contextmanager
def signals_noted():
    """A context that notes SIGTERM and Ctrl-C in a `StopRequest` instead of ending the process, and yields it."""
    wish = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield wish
        return
    former = {number: signal.signal(number, wish.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield wish
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


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
