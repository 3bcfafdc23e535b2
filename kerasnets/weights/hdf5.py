"""Keras's weight files: `.weights.h5`, the older `.h5`, and the weights inside a `.keras` archive.

Tensors are called `<layer>/<variable>` where the file names the variable, `<layer>/<number>` where it counts. Only
plain arrays that stand in the file itself are read: no links, no other files, no configuration turned into objects.
"""

import contextlib
import itertools
import math
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np

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
                return _array(found[name])

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


def _array(dataset) -> np.ndarray:
    array = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array
