"""Where an int8 TFLite file rounds: which tensors of a network have a range of their own.

TFLite fuses a convolution or dense layer with batch normalisation and ReLU, and an addition or multiplication with
ReLU: one operator, rounded once, at its end. Pooling, padding and reshaping keep the scale of their input. The inputs
of a concatenation have the scale of its output.
"""

from typing import NamedTuple

import keras

from kerasnets.graph.fold import find_folds
from kerasnets.graph.walk import calls
from kerasnets.layers.fake_quantize import SIGMOID_RANGE
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.processor_gradients import ProcessorConv2D, ProcessorDepthwiseConv2D
from kerasnets.layers.recomputed import RecomputedConvolutions
from kerasnets.layers.shortcut import PaddedIdentity
from kerasnets.layers.silu import silu
from kerasnets.layers.stochastic_branch import StochasticBranch
from kerasnets.layers.stochastic_depth import StochasticDepth

LINEAR = (
    keras.layers.Conv2D,
    GroupedConv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
    ProcessorConv2D,
    ProcessorDepthwiseConv2D,
)
# Layers that TFLite fuses with a ReLU after them.
_FUSED = (*LINEAR, keras.layers.BatchNormalization, keras.layers.Add, keras.layers.Multiply)
# Layers whose output has the scale of their input.
_SAME_SCALE = (
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Identity,
    StochasticDepth,
    PaddedIdentity,
)
_KNOWN = (
    *_FUSED,
    *_SAME_SCALE,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.InputLayer,
)
# Layers that hold other layers.
_CLOSED = (RecomputedConvolutions, StochasticBranch, keras.Model)

RELU, SILU, SIGMOID, TANH, SOFTMAX = "relu", "silu", "sigmoid", "tanh", "softmax"
HARD_SILU, HARD_SIGMOID = "hard_silu", "hard_sigmoid"
_ACTIVATIONS = {
    keras.activations.relu: RELU,
    keras.activations.relu6: RELU,
    keras.activations.silu: SILU,
    silu: SILU,
    keras.activations.hard_silu: HARD_SILU,
    keras.activations.hard_sigmoid: HARD_SIGMOID,
    keras.activations.sigmoid: SIGMOID,
    keras.activations.tanh: TANH,
    keras.activations.softmax: SOFTMAX,
}
# Ranges that TFLite fixes: steps of 1/256 and 1/128.
FIXED = {SIGMOID: SIGMOID_RANGE, TANH: (-1.0, 127 / 128)}


class Plan(NamedTuple):
    """What becomes of the layers of a network, by name.

    Attributes:
        ranges: the layers whose output has a range of its own.
        kernels: the layers whose kernel is rounded.
    """

    ranges: frozenset[str]
    kernels: frozenset[str]


def activation_of(layer) -> str | None:
    """Returns the kind of a layer's activation: a name of this file, `"other"`, or `None` for none."""
    if isinstance(layer, keras.layers.Softmax):
        return SOFTMAX
    if isinstance(layer, keras.layers.ReLU):
        return RELU if layer.max_value in (None, 6) and not layer.negative_slope and not layer.threshold else "other"
    function = getattr(layer, "activation", None)
    return None if function in (None, keras.activations.linear) else _ACTIVATIONS.get(function, "other")


def unknown_layers(model: keras.Model) -> list[str]:
    """Returns the layers that are not of a kind whose operators and ranges are known here, as "class name"."""
    return [
        f"{type(layer).__name__} {layer.name}"
        for layer in model.layers
        if not isinstance(layer, _KNOWN) or activation_of(layer) == "other"
    ]


def plan(model: keras.Model, keep_float=()) -> Plan:
    """Returns what quantisation does to each layer of a functional model.

    Args:
        keep_float: names of layers whose kernel is not rounded.

    Raises:
        ValueError: for a layer that holds other layers.
    """
    found = list(calls(model))
    if closed := [call.layer for call in found if isinstance(call.layer, _CLOSED)]:
        raise ValueError(
            "Quantisation needs a network without layers that hold other layers (`recompute=False`, no dropped "
            f"branches). Received: {type(closed[0]).__name__} {closed[0].name!r}"
        )
    readers = {}
    for call in found:
        for tensor in call.inputs:
            readers.setdefault(id(tensor), []).append(call.layer)
    outputs, folded = {id(tensor) for tensor in model.outputs}, set(find_folds(model))
    ranges = {
        call.layer.name
        for call in found
        if any(_has_range(call.layer, readers.get(id(t), []), id(t) in outputs, folded) for t in call.outputs)
    }
    kernels = {layer.name for layer in model.layers if isinstance(layer, LINEAR)}
    return Plan(frozenset(ranges), frozenset(kernels - set(keep_float)))


def _has_range(layer, readers: list, is_output: bool, folded: set[str]) -> bool:
    kind = activation_of(layer)
    unchanged = isinstance(layer, keras.layers.Activation) and kind is None
    if kind == SOFTMAX or unchanged or isinstance(layer, _SAME_SCALE):
        return False
    if is_output or not readers:
        return True
    if len(readers) == 1 and kind is None and isinstance(layer, _FUSED):
        if activation_of(readers[0]) in (RELU, HARD_SIGMOID) and not isinstance(readers[0], LINEAR):
            return False
    if all(reader.name in folded for reader in readers):
        return False
    return not all(isinstance(reader, keras.layers.Concatenate) for reader in readers)
