"""How a run that fails says so: one short line; the whole error of TensorFlow stands in the run's log."""

import contextlib
import re

import tensorflow as tf

from kerasnets.data.errors import first_line
from kerasnets.distribution.strategy import cluster
from kerasnets.runs.folder import append_line
from kerasnets.training.stopping import Stopped

# What an error says when another worker, or the way to it, is the cause. An error of this worker's own kernels says
# none of it, whatever its type.
PEER = re.compile(
    r"collective|remote target|\bpeer\b|heartbeat|coordination service|failed to connect|socket closed|unhealthy"
    r"|connection (refused|reset|timed)",
    re.IGNORECASE,
)
FILES = (tf.errors.NotFoundError, tf.errors.PermissionDeniedError, tf.errors.DataLossError)


@contextlib.contextmanager
def failures_explained(job):
    """A context in which each error is logged, and one of TensorFlow becomes one plain line, chained to the original.

    Raises:
        Stopped: another worker was lost.
        OSError: a file of the data could not be read.
        RuntimeError: too many bad images, or anything else that TensorFlow could not do.
    """
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        original = error if isinstance(error, tf.errors.OpError) or error.__cause__ is None else error.__cause__
        with contextlib.suppress(OSError):  # a full disk is the error that there is
            append_line(job.folder / log_name(), "error", kind=type(error).__name__, message=str(original))
        if not isinstance(error, tf.errors.OpError):
            raise
        raise explanation(job, error) from error


def explanation(job, error: tf.errors.OpError) -> Exception:
    """Returns the error to raise in the place of one of TensorFlow."""
    for source in job.sources.values():
        try:
            source.bad_images.check()
        except (RuntimeError, OSError) as cause:
            return cause
    said = first_line(error)
    if cluster().workers > 1 and PEER.search(first_line(error, 10_000)):
        return Stopped(
            f"Another worker was lost, or the way to it ({said[:80]}); start the same command on all machines again "
            "with --resume"
        )
    if isinstance(error, FILES):
        return OSError(f"A file could not be read: {said}")
    return RuntimeError(
        f"TensorFlow failed: {said} ({type(error).__name__}; all of it is in {job.folder / log_name()})"
    )


def log_name() -> str:
    """Returns the name of the log that this process writes its errors to: of several workers each its own."""
    return "log.jsonl" if cluster().is_chief else f"log.worker{cluster().index}.jsonl"
