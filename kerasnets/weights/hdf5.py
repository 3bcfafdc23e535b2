"""Keras's weight files: `.weights.h5`, the older `.h5`, and the weights inside a `.keras` archive.

Tensors are called `<layer>/<variable>` where the file names the variable, `<layer>/<number>` where it counts. Only
plain arrays that stand in the file itself are read: no links, no other files, no configuration turned into objects.
"""

import contextlib
import itertools
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np

_DEEPEST, _MOST_TENSORS, _MOST_EXPANSION = 12, 100_000, 20
_NOT_WEIGHTS = ("vars", "optimizer", "seed_generator")
# Older names of variables.
_VARIABLES = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}
_VARIABLE = re.compile(
    r"(?:.*[/_])?(depthwise_kernel|pointwise_kernel|kernel|bias|gamma|beta|moving_mean|moving_variance|running_mean"
    r"|running_std|W|b)(?:_\d+)?(?::\d+)?"
)


@contextlib.contextmanager
def open_h5(path: Path):
    """Yields (name -> shape, name -> array) of an HDF5 weights file, layers in the file's own order.

    Raises:
        ValueError: for a damaged file, or one that holds anything but its own arrays.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{str(path)!r} is not a whole HDF5 file: {str(error).splitlines()[0]}") from None
    with file:
        root = _child(file, "model_weights") or file
        legacy = "layer_names" in root.attrs or "layer_names0" in root.attrs
        found = dict(_legacy(root) if legacy else _numbered(root))
        held = path.stat().st_size
        for name, dataset in found.items():
            _check(path.name, name, dataset, held)
        yield {name: tuple(d.shape) for name, d in found.items()}, lambda name: _array(found[name])


@contextlib.contextmanager
def open_keras(path: Path):
    """Yields the weights inside a `.keras` archive as `open_h5` does; the model's configuration is not built.

    Raises:
        ValueError: for a damaged archive, one with code in it (a Lambda), or one that would fill the disk.
    """
    member = "model.weights.h5"
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if member not in sizes:
                raise ValueError(f"{str(path)!r} holds no {member}; it is not a .keras file.")
            if sum(sizes.values()) > _MOST_EXPANSION * path.stat().st_size + 2**20:
                raise ValueError(f"{str(path)!r} would unpack to {sum(sizes.values()):,} bytes; it is not read.")
            if "config.json" in sizes and re.search(rb'"(__lambda__|Lambda)"', archive.read("config.json")):
                raise ValueError(f"{str(path)!r} has a Lambda layer, which is code; it is not read.")
            with archive.open(member) as packed, open(Path(folder) / member, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            with open_h5(Path(folder) / member) as found:
                yield found
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{str(path)!r} is not a whole .keras file: {error}") from None


def _child(group, name: str):
    """The object that stands in `group` itself, not behind a link to elsewhere; `None` without one."""
    import h5py

    return group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None


def _texts(group, key: str) -> list[str]:
    """A list of texts among a group's attributes; a long one is split into `key0`, `key1` ..."""
    keys = [key, *itertools.takewhile(group.attrs.__contains__, (f"{key}{n}" for n in itertools.count()))]
    texts = [text for key in keys if key in group.attrs for text in group.attrs[key]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _legacy(root):
    """Yields (name, dataset) of the format of Keras 1 and 2, which lists its layers and their weights."""
    for layer in _texts(root, "layer_names"):
        group = _child(root, layer)
        for number, weight in enumerate(_texts(group, "weight_names") if group is not None else ()):
            known = _VARIABLE.fullmatch(weight)
            variable = _VARIABLES.get(known[1], known[1]) if known else str(number)
            yield f"{layer}/{variable}", _walk(group, weight)


def _walk(group, path: str):
    for part in path.split("/"):
        group = _child(group, part) if group is not None else None
    return group


def _numbered(root):
    """Yields (name, dataset) of Keras 3's format: a group for each layer, its variables numbered."""
    import h5py

    waiting = [(root, (), 0)]
    while waiting:
        group, place, depth = waiting.pop(0)
        own = _child(group, "vars")
        if isinstance(own, h5py.Group):
            layer = own.attrs.get("name") or (place[-1] if place else "model")
            for number in sorted(own, key=_natural):
                yield f"{layer}/{number}", _child(own, number)
        inside = [(name, _child(group, name)) for name in sorted(group, key=_natural) if name not in _NOT_WEIGHTS]
        deeper = [(g, (*place, n), depth + 1) for n, g in inside if isinstance(g, h5py.Group)]
        if deeper and (depth >= _DEEPEST or len(waiting) > _MOST_TENSORS):
            raise ValueError(f"{root.file.filename!r} nests deeper than any network; it is not read.")
        waiting = deeper + waiting


def _natural(text: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _check(file: str, name: str, dataset, held: int) -> None:
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{file!r}: {name!r} is no array of the file's own, and links are not followed.")
    brain = dataset.attrs.get("dtype") == "bfloat16"
    if not (dataset.dtype.kind in "fiub" or brain):
        raise ValueError(f"{file!r}: {name!r} does not hold numbers. Received: dtype={dataset.dtype}")
    if dataset.nbytes > held:
        raise ValueError(f"{file!r} lies about its sizes: {name!r} is {dataset.shape} in a file of {held:,} bytes.")


def _array(dataset) -> np.ndarray:
    array = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array
