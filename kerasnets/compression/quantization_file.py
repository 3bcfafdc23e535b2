"""The form of a quantisation-aware network that TFLite's converter turns into integers with exactly its ranges."""

import keras
import numpy as np

from kerasnets.graph.fold import scale_and_offset
from kerasnets.graph.walk import deep_recursion, trace
from kerasnets.layers.fake_quantize import FakeQuantize
from kerasnets.layers.network import Network, carried


def fixed(model: keras.Model) -> keras.Model:
    """Returns a network whose ranges are constants and whose normalisations are convolutions. It shares its weights.

    Args:
        model: a quantisation-aware network, folded.

    Raises:
        ValueError: for a range that no training and no calibration has found yet.
    """

    def around(layer):
        if not isinstance(layer, FakeQuantize) or not layer.active:
            return layer
        low, high = layer.range
        if not high > low:
            raise ValueError(
                "The ranges of a quantisation-aware network come from its training; train it before the export. "
                f"Received: {layer.name!r} without a range"
            )
        return FakeQuantize((low, high), name=layer.name)

    return _traced(model, around)


def without_norms(model: keras.Model) -> keras.Model:
    """Returns a network whose batch normalisations on maps are 1x1 depthwise convolutions. It shares its other weights.

    TFLite would make a normalisation that cannot be folded a multiplication and an addition, with a range for all
    channels. A depthwise convolution has a scale for each channel and rounds once.
    """

    def around(layer):
        norm = isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, 3)
        return (lambda tensor, **options: _as_convolution(layer, tensor)) if norm else layer

    return _traced(model, around)


def _as_convolution(layer, tensor):
    if len(tensor.shape) != 4:
        return layer(tensor)
    convolution = keras.layers.DepthwiseConv2D(1, name=layer.name)
    outputs = convolution(tensor)
    scale, offset = scale_and_offset(layer)
    convolution.set_weights([np.broadcast_to(scale, tensor.shape[-1:]).reshape(1, 1, -1, 1), offset])
    return outputs


def _traced(model: keras.Model, around) -> keras.Model:
    inputs = keras.Input(model.input_shape[1:], model.input_shape[0], name=model.inputs[0].name)
    with deep_recursion():
        twin = Network(inputs, trace(model, inputs, around), name=model.name)
    twin.preprocessing = carried(model)
    return twin
