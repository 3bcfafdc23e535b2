"""Weights that lose less to rounding: channels of one size, and biases corrected by the mean error of the kernels.

Both change weights and not the function that the network computes in float.

Source: Nagel et al. 2019, sections 4.1 and 4.2, https://arxiv.org/abs/1906.04721
"""

import keras
import numpy as np

from kerasnets.compression.quantization_graph import LINEAR
from kerasnets.graph.walk import calls
from kerasnets.layers.fake_quantize import ROUNDING, quantized_kernel
from kerasnets.layers.grouped_conv import GroupedConv2D

# Layers between two convolutions that a positive factor for each channel passes through.
_PASSES = (
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Dropout,
)
# A channel is not made more than so many times larger or smaller.
_LARGEST = 32.0


def pairs(model: keras.Model) -> list[tuple]:
    """Returns (layer, map, the layers that read it) for each map, a tensor of the model, that can be equalised.

    A linear layer makes the map, a plain ReLU or nothing follows, and only linear layers read it. ReLU6 and
    swish are not homogeneous; an addition or a concatenation reads other maps too.
    """
    found = list(calls(model))
    readers, outputs = {}, {id(tensor) for tensor in model.outputs}
    for call in found:
        for tensor in call.inputs:
            readers.setdefault(id(tensor), []).append(call)
    calls_of = [call.layer.name for call in found]
    made = []
    for call in found:
        if not _scalable(call.layer) or calls_of.count(call.layer.name) > 1:
            continue
        end = call
        while len(after := readers.get(id(end.outputs[0]), [])) == 1 and _passes(after[0].layer):
            end = after[0]
        after = readers.get(id(end.outputs[0]), [])
        if after and id(end.outputs[0]) not in outputs and all(_reads(each.layer, calls_of) for each in after):
            made.append((call.layer, end.outputs[0], [each.layer for each in after]))
    return made


def equalize(model: keras.Model, images: np.ndarray) -> int:
    """Scales the channels of maps so that they have one range, and the layers that read them by the inverse.

    A kernel has a scale for each output channel, a map one for all channels. So the range of a channel is compared with
    the weights that read it: of a depthwise convolution, which has a scale for each channel, only the map matters.

    Args:
        model: a folded network with weights of its own; they are changed.
        images: normalised.

    Returns:
        The number of maps.
    """
    found = pairs(model)
    if not found:
        return 0
    taps = keras.Model(model.inputs, [tensor for _, tensor, _ in found])
    largest = None
    for outputs in _values(taps, images):
        seen = [np.abs(each).max(axis=tuple(range(each.ndim - 1))) for each in outputs]
        largest = seen if largest is None else [np.maximum(a, b) for a, b in zip(largest, seen, strict=True)]
    # Layer by layer: a factor of one map changes only weights that another map's factors do not depend on.
    for (first, _, after), size in zip(found, largest, strict=True):
        _scale(first, after, _factors(size, after))
    return len(found)


def correct_biases(model: keras.Model, original: keras.Model, images: np.ndarray) -> int:
    """Adds to each bias what the rounding of its kernel takes away on average.

    Args:
        model: a quantisation-aware network; its biases are changed.
        original: the folded network that it was made of.
        images: normalised.

    Returns:
        The number of layers.
    """
    layers = [layer for layer in model.layers if isinstance(layer, ROUNDING) and getattr(layer, "use_bias", False)]
    if not layers:
        return 0
    read = {call.layer.name: call.inputs[0] for call in calls(original)}
    taps = keras.Model(original.inputs, [read[layer.name] for layer in layers])
    total = [0.0] * len(layers)
    for outputs in _values(taps, images):
        for number, output in enumerate(outputs):
            total[number] += output.mean(axis=tuple(range(1, output.ndim - 1))).sum(axis=0)
    for layer, mean in zip(layers, total, strict=True):
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        error = np.asarray(quantized_kernel(layer.kernel, depthwise)) - np.asarray(layer.kernel)
        error = error.sum(axis=tuple(range(error.ndim - 2)))
        layer.bias.assign(layer.bias - _mean_output(layer, error, mean / len(images), depthwise))
    return len(layers)


def _values(taps: keras.Model, images: np.ndarray):
    """Yields the outputs for each batch of images, as arrays."""
    for start in range(0, len(images), 16):
        outputs = taps(images[start : start + 16], training=False)
        yield list(
            map(np.asarray, outputs if isinstance(outputs, list) else [outputs])
        )  # Keras gives a single one alone


def _mean_output(layer, error: np.ndarray, mean: np.ndarray, depthwise: bool) -> np.ndarray:
    """Returns what an error of a kernel (input, output channels) adds to each output, for a mean of each input."""
    if depthwise:
        return (error * mean[:, None]).reshape(-1)
    groups = getattr(layer, "groups", 1)
    parts = zip(np.split(error, groups, axis=-1), np.split(mean, groups), strict=True)
    return np.concatenate([inputs @ part for part, inputs in parts])


def _scalable(layer) -> bool:
    return _separate_channels(layer) and layer.activation in (keras.activations.linear, keras.activations.relu)


def _reads(layer, names: list[str]) -> bool:
    return _separate_channels(layer) and names.count(layer.name) == 1


def _separate_channels(layer) -> bool:
    """Whether a layer is linear, and a channel of its input has a slice of the kernel of its own."""
    grouped = isinstance(layer, GroupedConv2D) or getattr(layer, "groups", 1) > 1
    wide = _is_depthwise(layer) and layer.depth_multiplier > 1
    return isinstance(layer, LINEAR) and not grouped and not wide


def _passes(layer) -> bool:
    plain = isinstance(layer, keras.layers.ReLU) and layer.max_value is None and not layer.negative_slope
    relu = isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.relu
    return isinstance(layer, _PASSES) or relu or (plain and not layer.threshold)


def _factors(size: np.ndarray, after: list) -> np.ndarray:
    """Returns what each channel of a map is divided by."""
    used = size > 1e-6 * max(size.max(), 1e-12)
    size = np.where(used, size, size.max())
    if all(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in after):
        factors = size
    else:
        weights = [np.abs(np.asarray(each.kernel)) for each in after if not _is_depthwise(each)]
        # Relative to the largest weight of its output channel, which sets the scale.
        shares = [each / np.maximum(each.max(axis=tuple(range(each.ndim - 1))), 1e-12) for each in weights]
        share = np.max([each.max(axis=(*range(each.ndim - 2), each.ndim - 1)) for each in shares], axis=0)
        factors = np.sqrt(size / np.maximum(share, 1e-6))
    factors = factors / np.exp(np.log(factors[used]).mean()) if used.any() else factors
    return np.where(used, np.clip(factors, 1 / _LARGEST, _LARGEST), 1.0)


def _is_depthwise(layer) -> bool:
    return isinstance(layer, keras.layers.DepthwiseConv2D)


def _scale(first, after: list, factors: np.ndarray) -> None:
    kernel = np.asarray(first.kernel)
    first.kernel.assign(kernel / (factors[:, None] if _is_depthwise(first) else factors))
    if first.use_bias:
        first.bias.assign(np.asarray(first.bias) / factors)
    for layer in after:
        layer.kernel.assign(np.asarray(layer.kernel) * factors[:, None])
