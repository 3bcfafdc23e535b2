"""What ends a run early: a signal, a loss or weight that is NaN or infinite, a lost worker, an error of TensorFlow.

A run that a signal or a lost worker stopped continues with `--resume`. Its exit code is 75 (EX_TEMPFAIL, "try again
later") after SIGTERM or a lost worker and 130 after Ctrl-C. So a scheduler starts it again only after the former.
"""

import contextlib
import re
import signal
import sys
import threading

import tensorflow as tf

from kerasnets.data.errors import first_line
from kerasnets.data.pipeline import batch_names
from kerasnets.distribution.strategy import cluster
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import append_line, append_log

# How many images of a bad batch the error names; the log names all.
NAMED = 3
# Words in the error of a lost worker or a broken connection. Errors of this worker's own kernels have none of them,
# whatever their type.
PEER = re.compile(
    r"collective|remote target|\bpeer\b|heartbeat|coordination service|failed to connect|socket closed|unhealthy"
    r"|connection (refused|reset|timed)",
    re.IGNORECASE,
)
FILES = (tf.errors.NotFoundError, tf.errors.PermissionDeniedError, tf.errors.DataLossError)


class Stopped(RuntimeError):
    """A run that was stopped from outside and continues with `--resume`."""

    exit_code = 75


class Interrupted(KeyboardInterrupt):
    """A run that Ctrl-C stopped and that continues with `--resume`."""


class StopRequest:
    """Which signal asked the process to end, if any.

    Attributes:
        signal: the number of the signal, or 0.
        immediate: whether a signal ends the run at once, because no checkpoint is left to write.
    """

    def __init__(self):
        self.signal = 0
        self.immediate = False

    def receive(self, number: int, frame=None) -> None:
        """Handles a signal: notes it, so that the run stops after its step. A second Ctrl-C stops it at once."""
        again, self.signal = self.signal == signal.SIGINT, number
        if self.immediate:
            self.stop_immediately()
        if number == signal.SIGINT:
            if again:
                raise KeyboardInterrupt
            print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    def stop_immediately(self) -> None:
        """Lets every signal, and one that has arrived already, end the run at once."""
        self.immediate = True
        if self.signal:
            raise self.error("the last checkpoint is written")

    def error(self, what: str) -> BaseException:
        """Returns what to raise when a signal to this process or to another worker stops the run."""
        if self.signal == signal.SIGINT:
            return Interrupted(f"Stopped by Ctrl-C; {what}, go on with --resume")
        return Stopped(f"Stopped by SIGTERM; {what}, go on with --resume")


@contextlib.contextmanager
def catch_signals():
    """Yields a `StopRequest` that notes SIGTERM and Ctrl-C, which do not end the process inside the context."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # Python allows signal handlers only there
        yield request
        return
    former = {number: signal.signal(number, request.receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def not_finite(job, what: str, first: int, last: int) -> RuntimeError:
    """Returns the error of a run with a NaN or infinite value, and logs it with the names of the images.

    Args:
        what: what is wrong, such as `"The loss is nan"`.
        first, last: the steps (from 1) among which is the one that caused it.
    """
    recipe = job.recipe
    steps = range(first - 1, last)
    names = [
        name for step in steps for name in batch_names(job.source, recipe.data, recipe.batch_size, recipe.seed, step)
    ]
    with contextlib.suppress(OSError):  # the error of a loss says more
        job.writer.wait()
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


@contextlib.contextmanager
def explain_errors(job):
    """Logs each error of the context in full, and turns an error of TensorFlow into one plain line.

    Raises:
        Stopped: another worker was lost.
        OSError: a file of the data could not be read.
        RuntimeError: too many images could not be decoded, or any other error of TensorFlow.
    """
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        original = error if isinstance(error, tf.errors.OpError) or error.__cause__ is None else error.__cause__
        with contextlib.suppress(OSError):  # on a full disk, `error` says so
            append_line(job.folder / log_name(), "error", kind=type(error).__name__, message=str(original))
        if not isinstance(error, tf.errors.OpError):
            raise
        raise _plain_error(job, error) from error


def _plain_error(job, error: tf.errors.OpError) -> Exception:
    """Returns the error to raise instead of one of TensorFlow."""
    for source in job.sources.values():
        try:
            source.bad_images.check()
        except (RuntimeError, OSError) as cause:
            return cause
    text = first_line(error)
    if cluster().workers > 1 and PEER.search(first_line(error, 10_000)):
        return Stopped(
            f"Another worker, or the connection to it, was lost ({text[:80]}); start the same command on all machines "
            "again with --resume"
        )
    if isinstance(error, FILES):
        return OSError(f"A file could not be read: {text}")
    return RuntimeError(
        f"TensorFlow failed: {text} ({type(error).__name__}; the whole error is in {job.folder / log_name()})"
    )


def log_name() -> str:
    """Returns the name of the log that this process writes its errors to: each worker has its own."""
    return "log.jsonl" if cluster().is_chief else f"log.worker{cluster().index}.jsonl"
