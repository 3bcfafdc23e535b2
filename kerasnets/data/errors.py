"""Errors of the input pipeline: images that cannot be decoded are counted and named, and too many of them stop a run.

A file that cannot be *read* does not count as a bad image: the disk or the network failed, and the run stops at once.
"""

import contextlib
import dataclasses
import re
import threading

# Lines of a TensorFlow error that say where in the program it happened, not what happened.
FRAMES = re.compile(
    r"Graph execution error:|Detected at node|Traceback \(|\s*File \"|\s*$|\d+ root error|<stack traces"
)
PLACES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]|\(defined at .*?\)")


def first_line(error: Exception, longest: int = 300) -> str:
    """Returns the line of an error that says what went wrong, cut to `longest` characters.

    TensorFlow writes stack frames and names of operations around that line; they are left out.
    """
    lines = [line for line in str(error).splitlines() if not FRAMES.match(line)]
    text = " ".join(PLACES.sub("", lines[0] if lines else "").split())
    return text[:longest] or type(error).__name__


def decoding_error(error: Exception) -> str:
    """Says in one short line why Pillow could not decode a file."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image in a known format"
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


@dataclasses.dataclass(frozen=True)
class BadImage:
    """One file that neither TensorFlow nor Pillow can decode."""

    index: int
    name: str
    reason: str


class BadImages:
    """Collects the bad images of one source; safe to use from the threads of a tf.data pipeline.

    The pipeline calls `add`, `unreadable`, `stop`, `check` and `check_batch`. The training loop calls `new` to log the
    bad images since the last call, and wraps its work in `explained` to turn the pipeline's error into one plain line.
    `limit` is the share (0 to 1) of the source's images that may be bad.
    """

    def __init__(self, size: int):
        self._size = size
        self.limit = 1.0
        self._found: dict[int, BadImage] = {}
        self._reported = 0
        self._fatal: Exception | None = None
        self._lock = threading.Lock()

    def add(self, index: int, name: str, reason: str) -> None:
        """Adds a bad image; a second call for the same image changes nothing."""
        with self._lock:
            self._found.setdefault(int(index), BadImage(int(index), name, reason))

    def unreadable(self, name: str, reason: str) -> None:
        """Reports a file that could not be read; the next `check` stops the run."""
        self.stop(OSError(f"The image {name} could not be read: {reason}"))

    def stop(self, error: Exception) -> None:
        """Lets the next `check` raise `error`; of several errors, the first."""
        with self._lock:
            self._fatal = self._fatal or error

    def all(self) -> tuple[BadImage, ...]:
        """Returns every bad image found so far, in the order of the source."""
        with self._lock:
            return tuple(self._found[index] for index in sorted(self._found))

    def new(self) -> tuple[BadImage, ...]:
        """Returns the bad images found since the last call of `new`."""
        with self._lock:
            found = tuple(self._found.values())[self._reported :]
            self._reported += len(found)
            return found

    def check(self) -> None:
        """Raises the error that must stop the run, if there is one.

        Raises:
            OSError: a file could not be read.
            RuntimeError: more than the allowed share of the source is bad, or all images of a batch.
        """
        if self._fatal:
            raise type(self._fatal)(*self._fatal.args)
        bad = self.all()
        if len(bad) > self.limit * self._size:
            raise RuntimeError(
                f"{len(bad)} of {self._size} images ({len(bad) / self._size:.2%}) cannot be decoded; `bad_image_limit` "
                f"allows {self.limit:.2%}. Repair or remove them, or raise the limit. First: {_named(bad)}"
            )

    def check_batch(self, good) -> None:
        """Raises RuntimeError when no image of a batch is good, and otherwise what `check` raises."""
        if not good.any():
            message = (
                f"None of the {len(good)} images of a batch can be decoded. First bad images: {_named(self.all())}"
            )
            self.stop(RuntimeError(message))
        self.check()

    @contextlib.contextmanager
    def explained(self):
        """Replaces a pipeline's error inside the context by the error of `check`, when that is the cause."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            try:
                self.check()
            except (RuntimeError, OSError) as cause:
                raise cause from error
            raise


def _named(bad) -> str:
    return ", ".join(f"{image.name} ({image.reason})" for image in bad[:3])
