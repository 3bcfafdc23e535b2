"""Checkpoint files as mappings from a name to an array, read one tensor at a time. Nothing is ever unpickled by us."""

import contextlib
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kerasnets.weights.hdf5 import open_h5, open_keras

# The kinds of file that are read, by how their names end.
KINDS = (".safetensors", ".pth", ".pth.tar", ".pt", ".th", ".bin", ".h5", ".hdf5", ".keras")
# Older PyTorch runs code that hides in a file in spite of `weights_only=True` (CVE-2025-32434).
_OLDEST_TORCH = (2, 6)
# Where training scripts put the tensors that they save beside other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


class Checkpoint(Mapping):
    """A read-only mapping from tensor name to array that can tell a tensor's shape without reading it.

    Attributes:
        source: what an error calls it.
        layout: `"torch"` (out, in, height, width) or `"keras"` (height, width, in, out).
    """

    def __init__(self, shapes: dict[str, tuple], read, source: str, layout: str = "torch"):
        self._shapes, self._read, self.source, self.layout = shapes, read, source, layout

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
    """Yields a `Checkpoint` for a dict of arrays (PyTorch's names and layouts) or the path of a file.

    Files: `.safetensors`; `.pth`, `.pth.tar`, `.pt`, `.th`, `.bin` (through PyTorch, `weights_only=True`); `.h5`,
    `.weights.h5` and `.keras` (the weights inside it; its configuration is never turned into code).

    Raises:
        FileNotFoundError: for a path where no file is.
        ValueError: for a damaged or hostile file, or a kind that cannot be read.
        ImportError: for a PyTorch file without PyTorch, or with one that is not safe.
    """
    if isinstance(source, Mapping):
        arrays = {name: np.asarray(array) for name, array in source.items()}
        yield Checkpoint({name: array.shape for name, array in arrays.items()}, arrays.__getitem__, "the dict")
        return
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"No weights file at {str(path)!r}. Received: source={str(source)!r}")
    kind = next((kind for kind in KINDS if path.name.endswith(kind)), None)
    if kind is None:
        raise ValueError(
            f"Weights are read from a dict of arrays or a file {', '.join(KINDS)}. Received: source={str(source)!r}"
        )
    own = {".safetensors": _safetensors, ".h5": open_h5, ".hdf5": open_h5, ".keras": open_keras}
    layout = "keras" if kind in (".h5", ".hdf5", ".keras") else "torch"
    with own.get(kind, _torch)(path) as (shapes, read):
        yield Checkpoint(shapes, read, path.name, layout)


@contextlib.contextmanager
def _safetensors(path: Path):
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{str(path)!r} is not a whole .safetensors file: {error}. Fetch it again.") from None
    with file:
        yield {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, file.get_tensor  # noqa: SIM118


@contextlib.contextmanager
def _torch(path: Path):
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"Reading {path.name!r} needs PyTorch: `pip install 'kerasnets[torch]'`, or take a .safetensors file."
        ) from None
    if tuple(map(int, torch.__version__.split(".")[:2])) < _OLDEST_TORCH:
        raise ImportError(
            f"Reading {path.name!r} needs PyTorch {'.'.join(map(str, _OLDEST_TORCH))} or newer, since an older one can "
            f"run code from such a file. Received: torch {torch.__version__}"
        )
    try:
        # Files before PyTorch 1.6 are no archives and cannot be mapped into memory.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{str(path)!r} is not a whole PyTorch file of tensors alone, and nothing else is read: {reason}"
        ) from None
    tensors = _state_dict(state, torch)
    held = path.stat().st_size
    for name, tensor in tensors.items():
        if math.prod(tensor.shape) * tensor.element_size() > held:
            raise ValueError(f"{str(path)!r} lies about its sizes: {name!r} is {tuple(tensor.shape)}.")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    yield shapes, lambda name: _array(path, name, tensors[name])


def _state_dict(state, torch) -> dict:
    """The tensors of a file by name, out of the wrappers and prefixes that training scripts put around them."""
    for key in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    named = state.items() if isinstance(state, Mapping) else ()
    return {str(name).removeprefix("module."): t for name, t in named if isinstance(t, torch.Tensor)}


def _array(path: Path, name: str, tensor) -> np.ndarray:
    try:
        return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or without values
        raise ValueError(f"{str(path)!r}: {name!r} is no plain tensor: {str(error).splitlines()[0]}") from None
