"""Layers in the forms that TensorFlow's graph optimiser and oneDNN compute quickest, for prediction.

`benchmarks/inference.py` measures them. What is not here needs no other form: convolutions, grouped and depthwise ones
too, are fused with their bias, activation and addition as Keras writes them.
"""

import inspect
from collections.abc import Callable

import keras

from kerasnets.layers.backend import tf


def fusible(layer: keras.Layer) -> Callable:
    """Returns a function that computes what a layer does in prediction, to rounding. For most, it calls the layer."""
    if isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, 3):
        return lambda x, **options: _normalised(layer, x) if len(x.shape) == 4 else layer(x, training=False)
    if isinstance(layer, keras.layers.GlobalAveragePooling2D) and layer.data_format == "channels_last":
        return lambda x, **options: _averaged(layer, x) if None not in x.shape[1:3] else layer(x)
    options = {"training": False} if "training" in inspect.signature(layer.call).parameters else {}
    return lambda *inputs, **given: layer(*inputs, **{**given, **options})


def _normalised(layer, x):
    """Batch normalisation as one operator, also with a ReLU behind it. Keras makes a product and a sum, in float32."""
    channels = (x.shape[-1],)
    return tf.raw_ops.FusedBatchNormV3(
        x=tf.cast(x, layer.compute_dtype),
        scale=layer.gamma if layer.scale else tf.ones(channels),
        offset=layer.beta if layer.center else tf.zeros(channels),
        mean=layer.moving_mean,
        variance=layer.moving_variance,
        epsilon=layer.epsilon,
        is_training=False,
    ).y


def _averaged(layer, x):
    """Global average pooling as a pooling operator, which sums bfloat16 without a copy of its input in float32."""
    pooled = tf.nn.avg_pool2d(tf.cast(x, layer.compute_dtype), x.shape[1:3], 1, "VALID")
    return pooled if layer.keepdims else tf.reshape(pooled, (-1, x.shape[-1]))
