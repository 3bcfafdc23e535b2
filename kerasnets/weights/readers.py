"""Checkpoint files as mappings from a name to an array, read one tensor at a time. Nothing is ever unpickled."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np


class Checkpoint(Mapping):
    """A read-only mapping from tensor name to array that can tell a tensor's shape without reading it."""

    def __init__(self, shapes: dict[str, tuple], read, source: str):
        self._shapes, self._read, self.source = shapes, read, source

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def shape(self, name: str) -> tuple:
        """The shape of one tensor, without its values."""
        return self._shapes[name]


@contextlib.contextmanager
def open_checkpoint(source):
    """Yields a `Checkpoint` for a dict of arrays or the path of a `.safetensors` file.

    Raises:
        FileNotFoundError: for a path where no file is.
        ValueError: for a damaged file, or a kind that cannot be read.
    """
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(array) for name, array in source.items()}
        yield Checkpoint({name: array.shape for name, array in arrays.items()}, arrays.__getitem__, "the dict")
        return
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"No weights file at {str(path)!r}. Received: source={str(source)!r}")
    if path.suffix != ".safetensors":
        raise ValueError(
            f"Weights are read from a dict of arrays or a .safetensors file. Received: source={str(source)!r}"
        )
    with _safetensors(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        yield Checkpoint(shapes, file.get_tensor, path.name)


@contextlib.contextmanager
def _safetensors(path: Path):
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{str(path)!r} is not a whole .safetensors file: {error}. Fetch it again.") from None
    with file:
        yield file
