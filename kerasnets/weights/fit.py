"""Plan a load: which tensor goes into which variable, which are changed to fit, and what does not fit.

A plan is made from names and shapes alone. Nothing is read or assigned before it is complete.
"""

import dataclasses
import difflib
import math
from functools import partial
from typing import NamedTuple

import keras
import numpy as np

from kerasnets.graph.walk import consumers
from kerasnets.weights.files import Checkpoint
from kerasnets.weights.mapping import Match, SourceTensor, WeightTarget, ignorable

_BACKGROUND_CLASSES = 1001
# A tensor that is changed to fit may be this many times larger than its target, so that a file cannot fill the memory.
_MOST_TIMES_LARGER = 64


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did. Every field lists names of the checkpoint.

    Attributes:
        loaded: tensors that were copied as they are.
        adapted: tensors that were changed to fit, with the change.
        kept_initial: weights that keep their initial values: a classifier of other classes, with both shapes, and with
            `skip_mismatch=True` weights that the checkpoint does not have, under the model's names.
        unused: tensors that the model has no weight for.
        skipped: tensors whose shape does not fit, with both shapes (only with `skip_mismatch=True`).
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...] = ()
    kept_initial: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{len(getattr(self, f.name))} {f.name}" for f in dataclasses.fields(self))


class Plan(NamedTuple):
    """What a load will do: the pairs (variable, tensor that is copied into it), and the report of it."""

    copies: list[tuple[keras.Variable, SourceTensor]]
    report: LoadReport


def fit(match: Match, targets: dict[str, WeightTarget], skip_mismatch: bool = False) -> Plan:
    """Plans how the tensors of a checkpoint go into the weights of a model.

    Args:
        match: the tensors of the checkpoint under our names.
        targets: the weights of the model.
        skip_mismatch: whether tensors that do not fit are left out instead of raising.

    Raises:
        ValueError: for a tensor that is missing, unknown, or of another shape.
    """
    tensors, unused = _derive(match, targets)
    missing = [name for name in targets if name not in tensors]
    allowed = ignorable(unused, match.checkpoint, targets)
    unknown = [name for name in unused if name not in allowed]
    if (missing or unknown) and not skip_mismatch:
        raise ValueError(_names_error(match.checkpoint, targets, missing, unknown))
    fitted = {name: adapt(tensor, targets[name]) for name, tensor in tensors.items()}
    unfit = [name for name, tensor in fitted.items() if tensor is None]
    heads = [name for name in unfit if _has_other_classes(tensors[name], targets[name])]
    skipped = [name for name in unfit if name not in heads]
    if skipped and not skip_mismatch:
        raise ValueError(_shape_error(match.checkpoint, len(skipped), tensors[skipped[0]], targets[skipped[0]]))
    copies = [(targets[name].variable, tensor) for name, tensor in fitted.items() if tensor is not None]
    shapes = {name: f"{tensors[name].name}: {_shapes(tensors[name], targets[name])}" for name in unfit}
    report = LoadReport(
        loaded=tuple(tensor.name for _, tensor in copies if not tensor.note),
        adapted=tuple(f"{tensor.name}: {tensor.note}" for _, tensor in copies if tensor.note),
        kept_initial=(*missing, *(shapes[name] for name in heads)),
        unused=tuple(sorted(unused)),
        skipped=tuple(shapes[name] for name in skipped),
    )
    return Plan(copies, report)


def _derive(match: Match, targets: dict[str, WeightTarget]) -> tuple[dict[str, SourceTensor], list[str]]:
    """Returns (our name -> tensor, names of the checkpoint that are not used), with tensors derived from others."""
    tensors = {name: match.tensors[name] for name in targets if name in match.tensors}
    spare = {name: tensor for name, tensor in match.tensors.items() if name not in targets}
    biases = _fold_biases(tensors, spare, targets)
    used = {tensor.name for tensor in (*tensors.values(), *biases)}
    _add_scales(tensors, targets)
    _drop_background(tensors, targets)
    return tensors, [name for name in match.checkpoint if name not in used]


def _fold_biases(
    tensors: dict[str, SourceTensor], spare: dict[str, SourceTensor], targets: dict[str, WeightTarget]
) -> list[SourceTensor]:
    """Subtracts the biases of layers that have none here from the means of the batch normalisations after them.

    Args:
        tensors: our name -> tensor; the means are replaced.
        spare: our name -> tensor, for those that the model has no weight for.
        targets: the weights of the model.

    Returns:
        The biases that were used.
    """
    layers, used = {target.layer.name: target.layer for target in targets.values()}, []
    for layer, bias in ((n.removesuffix(".bias"), tensor) for n, tensor in spare.items() if n.endswith(".bias")):
        readers = consumers(layers[layer]) if layer in layers else []
        if len(readers) != 1 or not isinstance(readers[0], keras.layers.BatchNormalization):
            continue
        name = f"{readers[0].name}.running_mean"
        if name in tensors and tensors[name].shape == bias.shape:
            read = partial(_difference, tensors[name].read, bias.read)
            tensors[name] = tensors[name]._replace(read=read, note=f"less {bias.name}")
            used.append(bias)
    return used


def _difference(read_first, read_second) -> np.ndarray:
    return read_first() - read_second()


def _add_scales(tensors: dict[str, SourceTensor], targets: dict[str, WeightTarget]) -> None:
    """Adds scales of one to the batch normalisations, when the checkpoint has no scale at all."""
    means = {n.removesuffix(".running_mean"): tensor for n, tensor in tensors.items() if n.endswith(".running_mean")}
    if any(f"{layer}.weight" in tensors for layer in means):
        return
    for layer, mean in means.items():
        if (name := f"{layer}.weight") in targets:
            read = partial(np.ones, mean.shape, np.float32)
            tensors[name] = SourceTensor(name, mean.shape, mean.shape, read, "ones, not in the file")


def _drop_background(tensors: dict[str, SourceTensor], targets: dict[str, WeightTarget]) -> None:
    """Drops class 0, the background, from a classifier of ImageNet's 1,000 classes and one more."""
    for name, tensor in tensors.items():
        shape, target = tensor.shape, targets[name]
        if not target.is_classifier or not shape or target.shape[-1] != _BACKGROUND_CLASSES - 1:
            continue
        if shape[-1] == _BACKGROUND_CLASSES:
            tensors[name] = tensor._replace(
                shape=(*shape[:-1], _BACKGROUND_CLASSES - 1),
                read=lambda tensor=tensor: tensor.read()[..., 1:],
                note="without the background class",
            )


def adapt(tensor: SourceTensor, target: WeightTarget) -> SourceTensor | None:
    """Returns the tensor with the shape of its target, or `None` when it cannot have it.

    Two kernels are changed: of a convolution that reads the image itself, for another number of channels, and of a
    dense layer whose inputs were flattened from a map of another size.
    """
    shape, wanted = tensor.shape, target.shape
    if shape == wanted:
        return tensor
    change = _change(shape, target) if shape and len(shape) == len(wanted) and target.suffix == "weight" else None
    if change is None or not 0 < math.prod(shape) <= _MOST_TIMES_LARGER * math.prod(wanted):
        return None
    return tensor._replace(shape=wanted, read=lambda: change(tensor.read()), note=_shapes(tensor, target))


def _change(shape: tuple, target: WeightTarget):
    """Returns the function that gives a kernel the shape of its target, `None` when there is none."""
    layer, wanted = target.layer, target.shape
    if isinstance(layer, keras.layers.Dense) and target.flattened and shape[1] == wanted[1]:
        channels = target.flattened[2]
        side = math.isqrt(shape[0] // channels)
        return partial(resample, grid=target.flattened) if 0 < side * side * channels == shape[0] else None
    reads_image = isinstance(layer, keras.layers.Conv2D) and layer.groups == 1 and target.reads_image
    if reads_image and shape[:2] == wanted[:2] and shape[3] == wanted[3]:
        return partial(change_channels, channels=wanted[2])
    return None


def change_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Returns a kernel (height, width, n, filters) for an image of `channels` channels.

    The shorter list of channels is repeated until it is as long as the other, and the two are paired. A channel of the
    kernel is split equally between the channels of the image that it is paired with. So 3 -> 1 is the sum; 3 -> 4
    repeats the first channel and halves both copies. An image whose channels are equal gives the same response before
    and after.
    """
    before = kernel.shape[2]
    shares = np.zeros((channels, before), kernel.dtype)
    for place in range(max(before, channels)):
        shares[place % channels, place % before] = 1
    return np.einsum("jn,hwnf->hwjf", shares / shares.sum(0), kernel).astype(kernel.dtype)


def resample(kernel: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    """Returns a dense kernel (side * side * channels, units) for flattened maps of `grid` (height, width, channels).

    The interpolation is bilinear and keeps the sum of the weights, so that a map without detail gives the same response
    before and after.
    """
    height, width, channels = grid
    side, units = math.isqrt(len(kernel) // channels), kernel.shape[1]
    rows = _interpolation(side, height, kernel.dtype) @ kernel.reshape(side, -1)
    return (_interpolation(side, width, kernel.dtype) @ rows.reshape(height, side, -1)).reshape(-1, units)


def _interpolation(before: int, after: int, dtype) -> np.ndarray:
    """Returns the matrix (after, before) of a bilinear interpolation; each of its columns has the sum 1."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    matrix = np.maximum(1 - np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0), 0)
    matrix /= matrix.sum(1, keepdims=True)
    return (matrix / matrix.sum(0)).astype(dtype)


def _has_other_classes(tensor: SourceTensor, target: WeightTarget) -> bool:
    """Whether the number of classes alone makes the shapes differ."""
    return target.is_classifier and tensor.shape is not None and tensor.shape[:-1] == target.shape[:-1]


def _shapes(tensor: SourceTensor, target: WeightTarget) -> str:
    return f"{tensor.stored_shape} into {target.shape}"


def _names_error(checkpoint: Checkpoint, targets: dict, missing: list[str], unknown: list[str]) -> str:
    name, others = (missing[0], checkpoint) if missing else (unknown[0], targets)
    near = difflib.get_close_matches(name, others, n=10, cutoff=0.0)
    return (
        f"{checkpoint.source} does not fit the model: {len(missing)} tensors are missing (first {missing[:1]}), "
        f"{len(unknown)} are not the model's (first {unknown[:1]}). "
        f"Nearest to {name!r}: {near}. `skip_mismatch=True` loads what fits."
    )


def _shape_error(checkpoint: Checkpoint, count: int, tensor: SourceTensor, target: WeightTarget) -> str:
    order = "PyTorch" if checkpoint.layout == "torch" else "Keras"
    return (
        f"{checkpoint.source}: {count} tensors have other shapes than the model, first {tensor.name!r}: the model's is "
        f"{target.shape} in Keras's order. `skip_mismatch=True` loads what fits. "
        f"Received: {tensor.stored_shape} in {order}'s order"
    )
