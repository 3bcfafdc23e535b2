"""Checkpoint files as mappings from a name to an array, read one tensor at a time. Nothing is ever unpickled by us."""

import contextlib
import itertools
import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

# The kinds of file that are read, by how their names end.
KINDS = (".safetensors", ".pth", ".pth.tar", ".pt", ".th", ".bin", ".h5", ".hdf5", ".keras")
# Older PyTorch runs code that hides in a file in spite of `weights_only=True` (CVE-2025-32434).
_OLDEST_TORCH = (2, 6)
# Where training scripts put the tensors that they save beside other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# A compressed file may unpack to this many times its size: Deep Compression, the tightest published coding, reaches 49.
_MOST_EXPANSION = 50
_DEEPEST, _MOST_GROUPS = 12, 100_000
_NOT_WEIGHTS = ("vars", "optimizer", "seed_generator")
# Older names of variables.
_VARIABLES = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}
_VARIABLE = re.compile(
    r"(?:.*[/_])?(depthwise_kernel|pointwise_kernel|kernel|bias|gamma|beta|moving_mean|moving_variance|running_mean"
    r"|running_std|W|b)(?:_\d+)?(?::\d+)?"
)


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
    yield shapes, lambda name: _torch_array(path, name, tensors[name])


def _state_dict(state, torch) -> dict:
    """The tensors of a file by name, out of the wrappers and prefixes that training scripts put around them."""
    for key in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    named = state.items() if isinstance(state, Mapping) else ()
    return {str(name).removeprefix("module."): t for name, t in named if isinstance(t, torch.Tensor)}


def _torch_array(path: Path, name: str, tensor) -> np.ndarray:
    try:
        return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or without values
        raise ValueError(f"{str(path)!r}: {name!r} is no plain tensor: {str(error).splitlines()[0]}") from None


class _Refused(ValueError):
    """A file that can be read, but holds what no weights file should."""


@contextlib.contextmanager
def open_h5(path: Path, inside: Path | None = None):
    """Yields (name -> shape, name -> array) of an HDF5 weights file, layers in the file's own order.

    Args:
        path: the file.
        inside: the archive that it was unpacked from, which errors name instead.

    Raises:
        ValueError: for a damaged file, or one that holds anything but its own arrays.
    """
    import h5py

    told = inside or path
    with contextlib.ExitStack() as stack:
        with _in_one_line(told, "HDF5"):
            file = stack.enter_context(h5py.File(path, "r"))
            found = _datasets(file, path.stat().st_size)
            shapes = {name: tuple(dataset.shape) for name, dataset in found.items()}

        def read(name: str) -> np.ndarray:
            with _in_one_line(told, "HDF5"):
                return _h5_array(found[name])

        yield shapes, read


@contextlib.contextmanager
def open_keras(path: Path):
    """Yields the weights inside a `.keras` archive as `open_h5` does; the model's configuration is not built.

    Raises:
        ValueError: for a damaged archive, one with code in it (a Lambda), or one that would fill the disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        with _in_one_line(path, ".keras"):
            unpacked = _unpack(path, Path(folder))
        with open_h5(unpacked, inside=path) as found:
            yield found


@contextlib.contextmanager
def _in_one_line(path: Path, kind: str):
    """Turns whatever a damaged file makes a reader raise into one clear line."""
    try:
        yield
    except _Refused:
        raise
    except Exception as error:  # h5py and zipfile raise errors of a dozen kinds; all mean the same to the user
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{str(path)!r} is not a whole {kind} file: {reason}") from None


def _unpack(path: Path, folder: Path) -> Path:
    member = "model.weights.h5"
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if member not in sizes:
            raise _Refused(f"{str(path)!r} holds no {member}; it is not a .keras file.")
        if sum(sizes.values()) > _MOST_EXPANSION * path.stat().st_size + 2**20:
            raise _Refused(f"{str(path)!r} would unpack to {sum(sizes.values()):,} bytes; it is not read.")
        if "config.json" in sizes and re.search(rb'"(__lambda__|Lambda)"', archive.read("config.json")):
            raise _Refused(f"{str(path)!r} has a Lambda layer, which is code; it is not read.")
        with archive.open(member) as packed, open(folder / path.name, "wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    return folder / path.name


def _datasets(file, held: int) -> dict:
    """Finds every weight of an open file by name, and checks that it is an array and that the sizes can be true."""
    root = _child(file, "model_weights") or file
    legacy = "layer_names" in root.attrs or "layer_names0" in root.attrs
    found = dict(_legacy(root) if legacy else _numbered(root))
    for name, dataset in found.items():
        _check(_file(file), name, dataset)
    sizes = {name: math.prod(dataset.shape) * dataset.dtype.itemsize for name, dataset in found.items()}
    if sum(sizes.values()) > _MOST_EXPANSION * held:
        largest = max(sizes, key=sizes.get)
        raise _Refused(
            f"{_file(file)!r} lies about its sizes: {sum(sizes.values()):,} bytes of weights in a file of {held:,}; "
            f"the largest, {largest!r}, is {found[largest].shape}."
        )
    return found


def _file(inside) -> str:
    return Path(inside.file.filename).name


def _child(group, path: str):
    """What stands at a path below `group`, `None` when nothing does; a link on the way is refused, never followed."""
    import h5py

    for name in path.split("/"):
        link = group.get(name, getlink=True) if name and isinstance(group, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise _Refused(f"{_file(group)!r}: {name!r} is a link, and links are not followed.")
        group = group[name]
    return group


def _texts(group, key: str) -> list[str]:
    """A list of texts among a group's attributes; a long one is split into `key0`, `key1` ..."""
    keys = [key, *itertools.takewhile(group.attrs.__contains__, (f"{key}{n}" for n in itertools.count()))]
    texts = [text for key in keys if key in group.attrs for text in group.attrs[key]]
    return [_text(text) for text in texts]


def _text(text) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _legacy(root):
    """Yields (name, dataset) of the format of Keras 1 and 2, which lists its layers and their weights."""
    for layer in _texts(root, "layer_names"):
        group = _child(root, layer)
        for number, weight in enumerate(_texts(group, "weight_names") if group is not None else ()):
            known = _VARIABLE.fullmatch(weight)
            variable = _VARIABLES.get(known[1], known[1]) if known else str(number)
            yield f"{layer}/{variable}", _child(group, weight)


def _numbered(root):
    """Yields (name, dataset) of Keras 3's format: a group for each layer, its variables numbered."""
    import h5py

    waiting, seen = [(root, (), 0)], 0
    while waiting:
        group, place, depth = waiting.pop()
        seen += 1
        if depth > _DEEPEST or seen > _MOST_GROUPS:
            raise _Refused(f"{_file(root)!r} nests deeper than any network; it is not read.")
        own = _child(group, "vars")
        if isinstance(own, h5py.Group):
            layer = _text(own.attrs.get("name") or (place[-1] if place else "model"))
            for number in sorted(own, key=_natural):
                yield f"{layer}/{number}", _child(own, number)
        inside = [(name, _child(group, name)) for name in sorted(group, key=_natural) if name not in _NOT_WEIGHTS]
        waiting += [(g, (*place, name), depth + 1) for name, g in reversed(inside) if isinstance(g, h5py.Group)]


def _natural(text: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _check(source: str, name: str, dataset) -> None:
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise _Refused(f"{source!r} holds no array for the weight {name!r} that it lists.")
    if dataset.is_virtual or dataset.external:
        raise _Refused(f"{source!r}: {name!r} stands in another file, and links are not followed.")
    brain = dataset.attrs.get("dtype") == "bfloat16"
    if not (dataset.dtype.kind in "fiub" or brain):
        raise _Refused(f"{source!r}: {name!r} does not hold numbers. Received: dtype={dataset.dtype}")


def _h5_array(dataset) -> np.ndarray:
    array = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array
