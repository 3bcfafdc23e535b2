"""Loading weights into a model, with a report of what happened to every tensor."""

import dataclasses
import difflib
import math

import keras
import numpy as np

from kerasnets.graph.walk import classifiers
from kerasnets.weights.files import Checkpoint, open_checkpoint
from kerasnets.weights.fit import adapt, entries
from kerasnets.weights.mapping import FORMATS, Entry, Tensor, needless, recognise, tensors
from kerasnets.weights.preprocess import adopt

# A tensor that has to be adapted may be this many times larger than its place; a file cannot fill the memory.
_MOST_TIMES_LARGER = 64


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did; every list holds the names of the checkpoint.

    Attributes:
        loaded: tensors that were copied into the model as they are.
        adapted: tensors that were made to fit (other channels, another input size), with both shapes.
        left: tensors whose initial values stay: a classifier of other classes, with both shapes, and with
            `skip_mismatch=True` what the checkpoint has not.
        unused: tensors of the checkpoint that the model has no place for.
        skipped: tensors whose shape did not fit, with both shapes (`skip_mismatch=True` only).
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = (f"{len(getattr(self, f.name))} {f.name}" for f in dataclasses.fields(self))
        return ", ".join(counts)


def load_weights(model: keras.Model, source, *, format: str = "auto", skip_mismatch: bool = False) -> LoadReport:
    """Loads a checkpoint of torchvision, timm, efficientnet_pytorch, keras.applications or of this package.

    A classifier of other classes is left at its initial values; other channels and another input size are adapted. The
    model's `preprocessing` becomes that of a public checkpoint, known by the name of its file, or of a `.keras` file.
    For any other file a warning says which numbers stay; a dict changes nothing.

    Args:
        model: a network of this package.
        source: a dict of arrays (PyTorch's names and layouts), or the path of a `.safetensors`, `.pth`, `.h5`,
            `.weights.h5` or `.keras` file.
        format: whose names: `"torchvision"`, `"timm"`, `"efficientnet_pytorch"`, `"keras_applications"`, `"keras"`
            (a file that Keras saved from this very network), or `"auto"` to tell by the names.
        skip_mismatch: whether to leave tensors that do not fit at their initial values instead of raising.

    Returns:
        A report; nothing is changed in the model when an error is raised.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a damaged file, a tensor that is missing, left over, or of another shape.
        ImportError: for a PyTorch file without PyTorch.
    """
    if format not in FORMATS:
        raise ValueError(f"`format` should be one of {', '.join(FORMATS)}. Received: format={format!r}")
    with open_checkpoint(source) as checkpoint:
        report = _load(model, checkpoint, format, skip_mismatch)
    adopt(model, source)
    return report


def _load(model, checkpoint: Checkpoint, format: str, skip_mismatch: bool) -> LoadReport:
    format = recognise(checkpoint, model) if format == "auto" else format
    found, unused = entries(checkpoint, model, format)
    wanted = {tensor.name(): tensor for tensor in tensors(model)}
    left = [name for name in wanted if name not in found]
    optional = needless(unused, checkpoint, model)
    unexpected = [name for name in unused if name not in optional]
    if (left or unexpected) and not skip_mismatch:
        raise ValueError(_explain(checkpoint, wanted, left, unexpected))
    odd = [name for name in found if found[name].shape != tuple(wanted[name].variable.shape)]
    last = classifiers(model)
    heads = {name for name in odd if _other_classes(wanted[name], found[name].shape, last)}
    tried = {n: _adapted(checkpoint, found[n], wanted[n], model) for n in odd if n not in heads}
    adapted = {name: array for name, array in tried.items() if array is not None}
    skipped = [name for name in odd if name not in heads and name not in adapted]
    if skipped and not skip_mismatch:
        raise ValueError(_explain_shape(checkpoint, len(skipped), found[skipped[0]], wanted[skipped[0]]))
    same = {name: _whole(checkpoint, found[name], wanted[name]) for name in found if name not in odd}
    # Every array is here and has been checked: what happens from now on cannot fail half-way.
    for name, array in (same | adapted).items():
        wanted[name].variable.assign(array)
    both = {n: f"{found[n].name}: {_shape(checkpoint, found[n])} into {tuple(wanted[n].variable.shape)}" for n in odd}
    noted = [f"{entry.name}: {entry.note}" for n, entry in found.items() if entry.note and n not in both]
    return LoadReport(
        loaded=tuple(entry.name for name, entry in found.items() if name not in both and not entry.note),
        adapted=(*(both[name] for name in odd if name in adapted), *noted),
        left=(*left, *(both[name] for name in odd if name in heads)),
        unused=tuple(sorted(unused)),
        skipped=tuple(map(both.get, skipped)),
    )


def _whole(checkpoint: Checkpoint, entry: Entry, tensor: Tensor) -> np.ndarray:
    """The values of one tensor, in the shape that the model needs."""
    array, wanted = _numbers(checkpoint, entry), tuple(tensor.variable.shape)
    if array.shape != wanted:
        raise ValueError(f"{checkpoint.source}: {entry.name!r} should be {wanted}. Received: {array.shape}")
    return array


def _numbers(checkpoint: Checkpoint, entry: Entry) -> np.ndarray:
    """The values of one tensor, read to the end."""
    array = entry.read()
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(f"{checkpoint.source}: {entry.name!r} does not hold numbers. Received: dtype={array.dtype}")
    return array


def _shape(checkpoint: Checkpoint, entry: Entry) -> tuple:
    """The shape as the file has it."""
    return checkpoint.shape(entry.name) if entry.name in checkpoint else entry.shape


def _other_classes(tensor: Tensor, shape: tuple | None, heads: set[str]) -> bool:
    """Whether the shape differs from the model's by the number of classes alone."""
    return shape is not None and tensor.layer in heads and shape[:-1] == tuple(tensor.variable.shape)[:-1]


def _adapted(checkpoint: Checkpoint, entry: Entry, tensor: Tensor, model) -> np.ndarray | None:
    """The array made to fit, or `None`; nothing is read that is far larger than its place."""
    wanted = tuple(tensor.variable.shape)
    if entry.shape is None or math.prod(entry.shape) > _MOST_TIMES_LARGER * math.prod(wanted):
        return None
    array = adapt(entry.name, _numbers(checkpoint, entry), tensor, model)
    return array if array is not None and array.shape == wanted else None


def _explain(checkpoint: Checkpoint, wanted, left: list, unexpected: list) -> str:
    name, others = (left[0], checkpoint) if left else (unexpected[0], wanted)
    near = difflib.get_close_matches(name, others, n=10, cutoff=0.0)
    return (
        f"{checkpoint.source} does not fit the model: {len(left)} tensors are missing (first {left[:1]}), "
        f"{len(unexpected)} are not the model's (first {unexpected[:1]}). "
        f"Nearest to {name!r}: {near}. `skip_mismatch=True` loads what fits."
    )


def _explain_shape(checkpoint: Checkpoint, count: int, entry: Entry, tensor: Tensor) -> str:
    order = {"torch": "PyTorch", "keras": "Keras"}[checkpoint.layout]
    return (
        f"{checkpoint.source}: {count} tensors have other shapes than the model, first {entry.name!r}: the model's is "
        f"{tuple(tensor.variable.shape)} in Keras's order. `skip_mismatch=True` loads what fits. "
        f"Received: {_shape(checkpoint, entry)} in {order}'s order"
    )
