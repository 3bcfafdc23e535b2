"""The deconvnet as its paper has it: layer after layer back to the pixels, with recorded switches.

    pooling        the value goes to the place where the window had its largest value (the switch)
    ReLU           ReLU, of the signal on its way back
    convolution    the transposed filter, without bias
    normalisation  local response normalisation is left out

All other layers must be linear when the network classifies: batch normalisation, average pooling, dense layers, sums,
concatenation, padding. They get their transpose.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import batches, chosen, clear_about_memory, logits_of, without_activation
from kerasnets.graph.walk import described
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.local_response_norm import LocalResponseNormalization

_LINEAR = (
    "Add", "AveragePooling2D", "Concatenate", "Cropping2D", "DepthwiseConv2D", "Dense", "EdgePadding2D", "Flatten",
    "GlobalAveragePooling2D", "PaddedIdentity", "PartialConv2D", "Permute", "Rescaling", "Reshape", "SameZeroPadding2D",
    "SeparableConv2D", "TrainableSubsampling", "ZeroPadding2D",
)  # fmt: skip


def projected(model: keras.Model, images, target, layer: str | None, batch_size: int) -> np.ndarray:
    """Returns the projection of one activation of each image, float32 (batch, height, width, channels).

    The signal begins as the gradient form's does: from a logit with 1, from a layer with the activation's value.
    A pooling window of equal values, such as one of zeros, has its switch at the first of them, row by row.

    Raises:
        ValueError: for a layer without a rule, by its name, or one that is called more than once.
    """
    maps = []
    with clear_about_memory(batch_size):
        for part in batches(len(images), batch_size):
            maps.append(_back(*_forward(model, tf.constant(images[part]), target, part.start, layer)).numpy())
    return np.concatenate(maps)


def _forward(model, x, target, first: int, layer: str | None):
    """Returns the image tensor, the calls (layer, inputs, output) up to the layer, and the signal at the last."""
    passed = []

    def seen(called, output, *inputs):
        passed.append((called, inputs, output))
        return output

    logits = logits_of(model, x, seen)
    if layer is None:
        picked = chosen(logits, target, first)[1]
        return x, passed, tf.one_hot(picked, logits.shape[1])
    ends = [number for number, (called, _, _) in enumerate(passed) if called.name == layer]
    if len(ends) != 1 or len(getattr(passed[ends[0]][2], "shape", ())) not in (2, 4):
        raise ValueError(f"A layer should be called once and have one output of maps. Received: layer={layer!r}")
    output = tf.cast(passed[ends[0]][2], tf.float32)
    return x, passed[: ends[0] + 1], _largest_alone(output, target, first)


def _largest_alone(output, target: list | None, first: int):
    """Returns a layer's output in which one activation is kept and all others are zero."""
    places = tf.reshape(output, (output.shape[0], -1, output.shape[-1]))
    values, maps = tf.reduce_max(places, axis=1), output.shape[-1]
    picked = chosen(values, target, first)[1]
    place = tf.argmax(tf.gather(places, picked, axis=2, batch_dims=1), axis=1, output_type=tf.int32)
    alone = tf.one_hot(place * maps + picked, places.shape[1] * maps)
    return tf.reshape(alone, output.shape) * output


def _back(x, passed: list, signal):
    """Carries a signal from the output of the last call to the image, whose tensor is `x`."""
    signals = {id(passed[-1][2]): signal}
    for layer, inputs, output in reversed(passed):
        signal, tensors = signals.get(id(output)), keras.tree.flatten(inputs)
        if signal is None or output is tensors[0]:  # such as dropout, which does nothing here
            continue
        for tensor, part in zip(tensors, _rule(layer)(layer, inputs, signal), strict=True):
            signals[id(tensor)] = signals[id(tensor)] + part if id(tensor) in signals else part
    return signals[id(x)]


def _rule(layer) -> Callable:
    """Returns the rule of a layer: (layer, inputs, signal at its output) -> a signal for each input.

    Raises:
        ValueError: for a layer that is neither linear nor a ReLU nor max pooling.
    """
    kind, activation = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "linear")
    if kind in ("ReLU", "Relu", "Relu6") or kind == "Activation" and activation in ("relu", "relu6"):
        return lambda layer, inputs, signal: [tf.nn.relu(signal)]
    if isinstance(layer, LocalResponseNormalization):
        return lambda layer, inputs, signal: [signal]
    if kind == "MaxPooling2D":
        return _unpooled
    linear = activation in ("linear", "softmax", "sigmoid") or activation.startswith("relu")
    if kind == "Conv2D" and layer.groups == 1 and layer.data_format == "channels_last" and linear:
        return _transposed
    if linear and (kind in _LINEAR or isinstance(layer, keras.layers.BatchNormalization | GroupedConv2D)):
        return _linear
    raise ValueError(
        "A deconvnet with switches knows convolutions, ReLU, max pooling and linear layers; use `switches=False` or "
        f"`kerasnets.explain.gradient`. Received: {described(layer)}"
    )


def _rectified(layer, signal):
    """Returns the signal before a layer's own activation. A softmax or sigmoid at the end was left out already."""
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    return tf.nn.relu(signal) if name.startswith("relu") else signal


def _transposed(layer, inputs, signal):
    kernel, signal = tf.cast(tf.convert_to_tensor(layer.kernel), tf.float32), _rectified(layer, signal)
    options = {"strides": layer.strides, "padding": layer.padding.upper(), "dilations": layer.dilation_rate}
    return [tf.nn.conv2d_transpose(signal, kernel, tf.shape(inputs[0]), **options)]


def _unpooled(layer, inputs, signal):
    """Puts each value at the place of its window's largest input."""
    x, shape = tf.cast(inputs[0], tf.float32), inputs[0].shape
    options = {"ksize": layer.pool_size, "strides": layer.strides, "padding": layer.padding.upper()}
    switches = tf.nn.max_pool_with_argmax(x, **options, include_batch_in_index=True)[1]
    values = tf.reshape(signal, (-1,))
    places = tf.scatter_nd(tf.reshape(switches, (-1, 1)), values, tf.constant([np.prod(shape)], switches.dtype))
    return [tf.reshape(places, shape)]


def _linear(layer, inputs, signal):
    """Returns the transpose of a linear layer, applied to the signal."""
    signal, tensors = _rectified(layer, signal), keras.tree.flatten(inputs)
    with without_activation(layer), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        output = layer(*inputs)
    return tape.gradient(output, tensors, output_gradients=tf.cast(signal, output.dtype))
