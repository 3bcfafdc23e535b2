"""Making a checkpoint's tensor fit a model of other channels or another input size."""

import math

import keras
import numpy as np

from kerasnets.graph.walk import calls, flattened_from
from kerasnets.weights.mapping import Tensor


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
