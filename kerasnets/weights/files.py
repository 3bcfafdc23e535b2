"""Read checkpoint files as mappings from name to array, one tensor at a time.

No file is trusted: nothing is unpickled outside PyTorch's `weights_only=True`, no link is followed, no configuration is
turned into code, and sizes are checked before anything is read.
"""

import contextlib
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kerasnets.weights.hdf5_files import as_value_error, open_h5, open_keras
from kerasnets.weights.knc import open_knc
from kerasnets.weights.squeezenet_net import open_squeezenet_net

# The endings of the names of weight files.
KINDS = (".safetensors", ".pth", ".pth.tar", ".pt", ".th", ".bin", ".h5", ".hdf5", ".keras", ".knc", ".net")
# Older versions of PyTorch can run code from a file in spite of `weights_only=True` (CVE-2025-32434).
_OLDEST_TORCH = (2, 6)
# The keys under which training scripts save the weights of a model beside other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


class Checkpoint(Mapping):
    """A read-only mapping from tensor name to array. It knows the shape of a tensor without reading the tensor.

    Attributes:
        source: what an error calls the checkpoint.
        layout: `"torch"` (out, in, height, width), `"keras"` (height, width, in, out), or `"kerasnets"`: as `"keras"`,
            with the names of `weight_targets`.
    """

    def __init__(self, shapes: dict[str, tuple], read, source: str, layout: str = "torch"):
        self._shapes, self._read, self.source, self.layout = shapes, read, source, layout

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._read(name)
        if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
            raise ValueError(f"{self.source}: {name!r} does not hold numbers. Received: dtype={array.dtype}")
        if array.shape != self._shapes[name]:
            raise ValueError(f"{self.source}: {name!r} should be {self._shapes[name]}. Received: {array.shape}")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def shape(self, name: str) -> tuple:
        """Returns the shape of a tensor without reading the tensor."""
        return self._shapes[name]


@contextlib.contextmanager
def open_checkpoint(source):
    """Yields the `Checkpoint` of a file, or of a dict of arrays with PyTorch's names and layouts.

    Files: `.safetensors`; `.pth`, `.pth.tar`, `.pt`, `.th` and `.bin` (through PyTorch); `.h5`, `.weights.h5` and
    `.keras` (only the weights inside it); `.knc` (our compressed format); `.net` (the compressed SqueezeNet v1.0 that
    its authors published).

    Raises:
        FileNotFoundError: for a path without a file.
        ValueError: for a damaged or hostile file, or a kind that cannot be read.
        ImportError: for a PyTorch file without PyTorch, or with a version that is not safe.
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
    # Each reader yields (name -> shape, function that reads the array of one name).
    readers = {".safetensors": _open_safetensors, ".h5": open_h5, ".hdf5": open_h5, ".keras": open_keras}
    readers |= {".knc": open_knc, ".net": open_squeezenet_net}
    layout = {".h5": "keras", ".hdf5": "keras", ".keras": "keras", ".knc": "kerasnets"}.get(kind, "torch")
    with readers.get(kind, _open_torch)(path) as (shapes, read):
        yield Checkpoint(shapes, read, path.name, layout)


@contextlib.contextmanager
def _open_safetensors(path: Path):
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{str(path)!r} is not a whole .safetensors file: {error}. Fetch it again.") from None
    with file:
        yield {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, file.get_tensor  # noqa: SIM118


@contextlib.contextmanager
def _open_torch(path: Path):
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
    with as_value_error(path, "a whole PyTorch file that holds tensors alone"):
        # Files from before PyTorch 1.6 are not archives and cannot be mapped into memory.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    tensors = _state_dict(state, torch)
    file_size = path.stat().st_size
    for name, tensor in tensors.items():
        if math.prod(tensor.shape) * tensor.element_size() > file_size:
            raise ValueError(f"{str(path)!r} lies about its sizes: {name!r} is {tuple(tensor.shape)}.")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        with as_value_error(f"{path}: {name}", "a plain tensor"):  # sparse, quantised, or without values
            return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()

    yield shapes, read


def _state_dict(state, torch) -> dict:
    """Returns the tensors of a file by name, without the wrappers and prefixes that training scripts add."""
    for key in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    named = state.items() if isinstance(state, Mapping) else ()
    return {str(name).removeprefix("module."): t for name, t in named if isinstance(t, torch.Tensor)}
