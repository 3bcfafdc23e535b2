"""Files that could not be decoded: counted and named, and the run is stopped when there are too many.

A file that could not be *read* is no bad image: a disk or a network that fails is not the file's fault, and stops the
run at once.
"""

import contextlib
import dataclasses
import threading


@dataclasses.dataclass(frozen=True)
class BadImage:
    """One file that neither TensorFlow nor Pillow can decode."""

    index: int
    name: str
    reason: str


class BadImages:
    """Collects the bad images of one source; safe to use from the threads of a tf.data pipeline.

    The pipeline calls `add`, `unreadable`, `check` and `check_batch`. The training loop calls `new` to log what came
    since, and wraps its work in `explained` so that the pipeline's error arrives as one plain line.
    """

    def __init__(self, size: int):
        self._size = size
        self._limit = 1.0
        self._seen: dict[int, BadImage] = {}
        self._reported = 0
        self._fatal: Exception | None = None
        self._lock = threading.Lock()

    def set_limit(self, share: float) -> None:
        """Sets the share (0..1) of the source's images that may be bad."""
        self._limit = share

    def add(self, index: int, name: str, reason: str) -> None:
        """Notes a bad image once, however often it is met."""
        with self._lock:
            self._seen.setdefault(int(index), BadImage(int(index), name, reason))

    def unreadable(self, name: str, error: OSError) -> None:
        """Notes a file that could not be read; the next `check` stops the run."""
        self._stop(OSError(f"The image {name} could not be read: {error.strerror or error}"))

    def all(self) -> tuple[BadImage, ...]:
        """Returns every bad image met so far, in the order of the source."""
        with self._lock:
            return tuple(self._seen[index] for index in sorted(self._seen))

    def new(self) -> tuple[BadImage, ...]:
        """Returns the bad images met since the last call of `new`."""
        with self._lock:
            found = tuple(self._seen.values())[self._reported :]
            self._reported += len(found)
            return found

    def check(self) -> None:
        """Raises what must stop the run.

        Raises:
            OSError: a file could not be read.
            RuntimeError: more than the allowed share of the source is bad, or a whole batch.
        """
        if self._fatal:
            raise type(self._fatal)(*self._fatal.args)
        bad = self.all()
        if len(bad) > self._limit * self._size:
            raise RuntimeError(
                f"{len(bad)} of {self._size} images ({len(bad) / self._size:.2%}) cannot be decoded; `bad_image_limit` "
                f"allows {self._limit:.2%}. Repair or remove them, or raise the limit. First: {_named(bad)}"
            )

    def check_batch(self, good) -> None:
        """Raises RuntimeError when not one image of a batch is good."""
        if not good.any():
            said = f"Not one of the {len(good)} images of a batch can be decoded. First bad ones: {_named(self.all())}"
            self._stop(RuntimeError(said))
        self.check()

    @contextlib.contextmanager
    def explained(self):
        """A context in which an error of the pipeline is replaced by that of `check` when it is the cause."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            try:
                self.check()
            except (RuntimeError, OSError) as cause:
                raise cause from error
            raise

    def _stop(self, error: Exception) -> None:
        with self._lock:
            self._fatal = self._fatal or error


def _named(bad) -> str:
    return ", ".join(f"{image.name} ({image.reason})" for image in bad[:3])
