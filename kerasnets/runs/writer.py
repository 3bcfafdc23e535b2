"""Writes checkpoints in a thread, so that the training goes on meanwhile."""

import threading

from kerasnets.runs import checkpoints


class CheckpointWriter:
    """Writes one checkpoint at a time. As a context, it waits at its end for the one that is being written."""

    def __init__(self):
        self._thread = None
        self._error = None

    def save(self, folder, name: str, tensors: dict, state: dict) -> None:
        """Begins to write a checkpoint, as `checkpoints.save` does, once the one before it is written.

        Args:
            tensors, state: must not be changed afterwards.

        Raises:
            OSError: the checkpoint before it could not be written.
        """
        self.wait()

        def write():
            try:
                checkpoints.save(folder, name, tensors, state)
            except BaseException as error:  # raised in the thread of the training by `wait`
                self._error = error

        self._thread = threading.Thread(target=write, name="checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raises the error of a checkpoint that could not be written. It does not wait."""
        if self._thread and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Waits for the checkpoint that is being written.

        Raises:
            OSError: it could not be written. The former checkpoint stays.
        """
        if self._thread:
            self._thread.join()
        self._thread, error, self._error = None, self._error, None
        if error:
            raise error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            self.wait()
        except OSError:
            if not error:  # what ended the run is the error to show
                raise
