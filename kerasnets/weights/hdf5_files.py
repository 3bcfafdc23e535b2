"""Read the weights in HDF5 files of Keras, also those inside a `.keras` archive.

Tensors are called `<layer>/<variable>` where the file names the variables of a layer, and `<layer>/<number>` where it
numbers them. No link is followed, no configuration is turned into code, and sizes are checked before anything is read.
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

# A compressed file may unpack to this many times its size. The best published coding, Deep Compression, reaches 49.
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
    """A file that can be read, but holds what no weights file should hold."""


@contextlib.contextmanager
def as_value_error(what: str | Path, kind: str):
    """Turns the errors that a damaged file causes in a reader, of a dozen classes, into one line."""
    try:
        yield
    except _Refused:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{str(what)!r} is not {kind}: {reason}") from None


@contextlib.contextmanager
def open_keras(path: Path):
    """Opens the weights inside a `.keras` archive; the model's configuration is not built."""
    with tempfile.TemporaryDirectory() as folder:
        with as_value_error(path, "a whole .keras file"):
            unpacked = _unpack(path, Path(folder))
        with open_h5(unpacked, archive=path) as found:
            yield found


@contextlib.contextmanager
def open_h5(path: Path, archive: Path | None = None):
    """Opens an HDF5 file. Errors name `archive`, if the file was unpacked from one."""
    import h5py

    with contextlib.ExitStack() as stack:
        with as_value_error(archive or path, "a whole HDF5 file"):
            file = stack.enter_context(h5py.File(path, "r"))
            found = _h5_datasets(file, path.stat().st_size)
            shapes = {name: tuple(dataset.shape) for name, dataset in found.items()}

        def read(name: str) -> np.ndarray:
            with as_value_error(archive or path, "a whole HDF5 file"):
                array = found[name][()]
                if found[name].attrs.get("dtype") == "bfloat16":
                    array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
                return array

        yield shapes, read


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


def _h5_datasets(file, file_size: int) -> dict:
    """Returns the weights of an open file by name, after a check of their types and sizes."""
    root = _h5_child(file, "model_weights") or file
    legacy = "layer_names" in root.attrs or "layer_names0" in root.attrs
    found = dict(_keras2_weights(root) if legacy else _keras3_weights(root))
    for name, dataset in found.items():
        _check_dataset(_file_name(file), name, dataset)
    sizes = {name: math.prod(dataset.shape) * dataset.dtype.itemsize for name, dataset in found.items()}
    if sum(sizes.values()) > _MOST_EXPANSION * file_size:
        largest = max(sizes, key=sizes.get)
        raise _Refused(
            f"{_file_name(file)!r} lies about its sizes: {sum(sizes.values()):,} bytes of weights in a file of "
            f"{file_size:,}; the largest, {largest!r}, is {found[largest].shape}."
        )
    return found


def _check_dataset(source: str, name: str, dataset) -> None:
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise _Refused(f"{source!r} holds no array for the weight {name!r} that it lists.")
    if dataset.is_virtual or dataset.external:
        raise _Refused(f"{source!r}: {name!r} stands in another file, and links are not followed.")
    if dataset.dtype.kind not in "fiub" and dataset.attrs.get("dtype") != "bfloat16":
        raise _Refused(f"{source!r}: {name!r} does not hold numbers. Received: dtype={dataset.dtype}")


def _file_name(group) -> str:
    return Path(group.file.filename).name


def _h5_child(group, path: str):
    """Returns the group or data set at a path below `group`, `None` when there is none. A link raises an error."""
    import h5py

    for name in path.split("/"):
        link = group.get(name, getlink=True) if name and isinstance(group, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise _Refused(f"{_file_name(group)!r}: {name!r} is a link, and links are not followed.")
        group = group[name]
    return group


def _keras2_weights(root):
    """Yields (name, data set) from the format of Keras 1 and 2, which lists its layers and their weights."""
    for layer in _texts(root, "layer_names"):
        group = _h5_child(root, layer)
        for number, weight in enumerate(_texts(group, "weight_names") if group is not None else ()):
            known = _VARIABLE.fullmatch(weight)
            variable = _VARIABLES.get(known[1], known[1]) if known else str(number)
            yield f"{layer}/{variable}", _h5_child(group, weight)


def _keras3_weights(root):
    """Yields (name, data set) from the format of Keras 3: a group for each layer, its variables numbered."""
    import h5py

    waiting, seen = [(root, (), 0)], 0
    while waiting:
        group, place, depth = waiting.pop()
        seen += 1
        if depth > _DEEPEST or seen > _MOST_GROUPS:
            raise _Refused(f"{_file_name(root)!r} nests deeper than any network; it is not read.")
        variables = _h5_child(group, "vars")
        if isinstance(variables, h5py.Group):
            layer = variables.attrs.get("name") or (place[-1] if place else "model")
            for number in sorted(variables, key=_natural):
                yield f"{layer}/{number}", _h5_child(variables, number)
        inside = [(name, _h5_child(group, name)) for name in sorted(group, key=_natural) if name not in _NOT_WEIGHTS]
        waiting += [(g, (*place, name), depth + 1) for name, g in reversed(inside) if isinstance(g, h5py.Group)]


def _texts(group, key: str) -> list[str]:
    """Returns a list of texts among a group's attributes; Keras splits a long one into `key0`, `key1` ..."""
    keys = [key, *itertools.takewhile(group.attrs.__contains__, (f"{key}{n}" for n in itertools.count()))]
    texts = [text for key in keys if key in group.attrs for text in group.attrs[key]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _natural(text: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]
