"""Writes checkpoints in a thread, so that the training goes on meanwhile."""

from concurrent import futures

from kerasnets.runs import checkpoints


class CheckpointWriter:
    """Writes one checkpoint at a time. As a context, it waits at its end for the one that is being written."""

    def __init__(self):
        self._thread = futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing = None

    def save(self, folder, name: str, tensors: dict, state: dict) -> None:
        """Begins to write a checkpoint, as `checkpoints.save` does, once the one before it is written.

        Args:
            tensors, state: must not be changed afterwards.

        Raises:
            OSError: the checkpoint before it could not be written.
        """
        self.wait()
        self._writing = self._thread.submit(checkpoints.save, folder, name, tensors, state)

    def check(self) -> None:
        """Raises the error of a checkpoint that could not be written. It does not wait."""
        if self._writing and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the checkpoint that is being written.

        Raises:
            OSError: it could not be written. The former checkpoint stays.
        """
        if self._writing:
            futures.wait([self._writing])
            written, self._writing = self._writing, None
            written.result()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            self.wait()
        except OSError:
            if not error:  # what ended the run is the error to show
                raise
