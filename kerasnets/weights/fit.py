"""Tensors that a checkpoint does not hold as such, but that follow from what it holds."""

import math
from functools import partial

import keras
import numpy as np

from kerasnets.graph.walk import calls, classifiers, consumers, flattened_from
from kerasnets.weights.files import Checkpoint
from kerasnets.weights.keras_names import keras_names
from kerasnets.weights.mapping import Entry, Tensor, entry, tensors, torch_names

BACKGROUND_CLASSES = 1001


def fold_biases(found: dict, spare: dict, model: keras.Model) -> None:
    """Takes the bias of a convolution that has none here off the mean of the normalisation that follows it.

    Args:
        found: our name of a tensor -> entry; changed in place.
        spare: our name -> entry of what nothing wants; the biases that were used are taken out.
    """
    for name in [name for name in spare if name.endswith(".bias")]:
        norm = following_norm(model, name.removesuffix(".bias"))
        mean = found.get(f"{norm}.running_mean")
        if mean is None or mean.shape != spare[name].shape:
            continue
        bias = spare.pop(name)
        found[f"{norm}.running_mean"] = mean._replace(
            read=lambda mean=mean, bias=bias: mean.read() - bias.read(), note=f"less {bias.name}"
        )


def following_norm(model: keras.Model, name: str) -> str | None:
    """The batch normalisation that alone takes the output of the layer `name`."""
    layer = next((layer for layer in model.layers if layer.name == name), None)
    takers = consumers(layer) if layer is not None else []
    return takers[0].name if len(takers) == 1 and isinstance(takers[0], keras.layers.BatchNormalization) else None


def add_scales(found: dict, make) -> None:
    """Gives normalisations ones for a scale when the source has no scales at all.

    Args:
        found: our name of a tensor -> entry; changed in place.
        make: `(name, shape, read, note) -> entry`.
    """
    means = {name.removesuffix(".running_mean"): e for name, e in found.items() if name.endswith(".running_mean")}
    if any(f"{layer}.weight" in found for layer in means):
        return
    for layer, mean in means.items():
        ones = np.ones(mean.shape or (), np.float32)
        found[f"{layer}.weight"] = make(f"{layer}.weight", mean.shape, lambda ones=ones: ones, "ones, not in the file")


def drop_background(found: dict, model: keras.Model) -> None:
    """Drops class 0, the background, of a classifier of ImageNet's 1,000 classes and one more."""
    heads = classifiers(model)
    for tensor in tensors(model):
        entry = found.get(tensor.name())
        if entry is None or tensor.layer not in heads or not entry.shape or entry.shape[-1] != BACKGROUND_CLASSES:
            continue
        if tensor.variable.shape[-1] == BACKGROUND_CLASSES - 1:
            shape = (*entry.shape[:-1], BACKGROUND_CLASSES - 1)
            found[tensor.name()] = entry._replace(
                shape=shape, read=lambda entry=entry: entry.read()[..., 1:], note="without the background class"
            )


def entries(checkpoint: Checkpoint, model: keras.Model, format: str) -> tuple[dict[str, Entry], list[str]]:
    """Finds each tensor of a model in a checkpoint.

    Returns:
        What the model's tensors are called -> entry, for those that were found; the checkpoint's names that nothing
        wants.

    Raises:
        ValueError: for a format that the file cannot have.
    """
    if (checkpoint.layout == "keras") != format.startswith("keras"):
        raise ValueError(f"{checkpoint.source} is in {checkpoint.layout}'s layout. Received: format={format!r}")
    if checkpoint.layout == "keras":
        names = keras_names(checkpoint, model, own=format == "keras")
    else:
        names = torch_names(checkpoint, model, format)
    wanted = {tensor.name(): tensor for tensor in tensors(model)}
    found = {name: entry(checkpoint, names[name], tensor) for name, tensor in wanted.items() if name in names}
    spare = {n: Entry(r, checkpoint.shape(r), partial(checkpoint.__getitem__, r)) for n, r in names.items()}
    spare = {name: kept for name, kept in spare.items() if name not in wanted}
    given = set(spare)
    fold_biases(found, spare, model)
    used = {names[name] for name in (*found, *(given - set(spare)))}
    add_scales(found, Entry)
    drop_background(found, model)
    return {n: e for n, e in found.items() if n in wanted}, [name for name in checkpoint if name not in used]


def adapt(name: str, array: np.ndarray, tensor: Tensor, model) -> np.ndarray | None:
    """Returns `array` made to fit `tensor.variable`, or `None` when it cannot be.

    Two things are adapted: the channels of a convolution that sees the image itself, and a dense layer whose input was
    flattened from a map of another size.

    Args:
        name: what the checkpoint calls it.
        array: its values in Keras's layout, of another shape than the variable.
        tensor: where it goes.
        model: the network that it goes into.
    """
    layer = next((layer for layer in model.layers if layer.name == tensor.layer), None)
    shape = tuple(tensor.variable.shape)
    if tensor.variable is not getattr(layer, "kernel", None) or array.ndim != len(shape) or array.size == 0:
        return None
    if isinstance(layer, keras.layers.Dense):
        grid = flattened_from(layer)
        return resample(array, grid) if grid and array.shape[1] == shape[1] else None
    if not isinstance(layer, keras.layers.Conv2D) or layer.groups > 1 or layer.name not in image_readers(model):
        return None
    same_but_channels = array.shape[:2] == shape[:2] and array.shape[3] == shape[3]
    return change_channels(array, shape[2]) if same_but_channels else None


def image_readers(model) -> set[str]:
    """The layers with weights that see the image itself, through layers without weights at most."""
    image, readers = {id(tensor) for tensor in model.inputs}, set()
    for layer, inputs, outputs in calls(model):
        if any(id(tensor) in image for tensor in inputs):
            if getattr(layer, "weights", ()):
                readers.add(layer.name)
            else:
                image |= {id(tensor) for tensor in outputs}
    return readers


def change_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Returns a kernel (height, width, n, filters) for an image of `channels` channels.

    Channels are dealt out in turn: channel j of the image takes what n has at j, j + n, ... So 3 -> 1 is the sum; 3 ->
    4 repeats the first, and halves both copies. An image that is the same in every channel gives the same response
    before and after.
    """
    before, longer = kernel.shape[2], max(kernel.shape[2], channels)
    dealt = np.zeros((channels, before), kernel.dtype)
    for place in range(longer):
        dealt[place % channels, place % before] = 1
    return np.einsum("jn,hwnf->hwjf", dealt / dealt.sum(0), kernel).astype(kernel.dtype)


def resample(kernel: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray | None:
    """Returns a dense kernel (side * side * channels, units) for flattened maps (height, width, channels), its `grid`.

    Bilinear over the places of the map, and every place hands on all of its weight: maps without detail give the same
    response before and after. `None` when the kernel is not of a square map with these channels.
    """
    height, width, channels = grid
    side = math.isqrt(len(kernel) // channels)
    if side == 0 or side * side * channels != len(kernel):
        return None
    units = kernel.shape[1]
    rows = spread(side, height, kernel.dtype) @ kernel.reshape(side, -1)
    return (spread(side, width, kernel.dtype) @ rows.reshape(height, side, -1)).reshape(-1, units)


def spread(before: int, after: int, dtype="float32") -> np.ndarray:
    """The matrix (after, before) that resamples a line of weights bilinearly and keeps the sum of what each gives."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale - 0.5
    matrix = np.maximum(1 - np.abs(np.arange(before) - centres[:, None]) / max(scale, 1.0), 0)
    matrix /= matrix.sum(1, keepdims=True)
    return (matrix / matrix.sum(0)).astype(dtype)
