"""Convolution, padding, normalisation and pooling: functions from a tensor to a tensor, for all families.

`padding` is `"same"` as TensorFlow pads (bottom and right first), `"valid"`, or a number (or pair) of zeros on both
sides, as PyTorch and Caffe pad. The two differ wherever the stride is 2, so each variant pads as its public weights
need.
"""

import keras

from kerasnets.layers.batch_norm import BatchNormalization
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.silu import silu


def he_normal(mode: str = "fan_out"):
    """Normal initialiser with variance 2 / fan (He et al. 2015); `"fan_out"` as in fb.resnet.torch and torchvision."""
    return keras.initializers.VarianceScaling(2.0, mode, "untruncated_normal")


def conv(x, filters, kernel=1, stride=1, *, name, padding=None, dilation=1, initializer=None, **options):
    """2-D convolution. `kernel` is a number or a pair; `padding=None` is symmetric and keeps the size at stride 1.

    `options` are further arguments of the layer: `groups`, `use_bias` (by default `False`), `kernel_constraint` ...
    """
    kernel = _pair(kernel)
    centred = tuple(dilation * (k - 1) // 2 for k in kernel)
    padding = centred if padding is None else padding
    if stride == 1 and padding not in ("valid", "same") and _pair(padding) == centred and all(k % 2 for k in kernel):
        padding = "same"  # the same zeros, without a layer of their own
    x, padding = _pad(x, padding, name)
    layer = keras.layers.Conv2D if options.get("groups", 1) == 1 else GroupedConv2D
    return layer(
        filters,
        kernel,
        stride,
        padding=padding,
        dilation_rate=dilation,
        kernel_initializer=initializer or he_normal(),
        name=name,
        **{"use_bias": False, **options},
    )(x)


def depthwise_conv(x, kernel=3, stride=1, *, name, padding=None, use_bias=False, initializer=None):
    """Depthwise 2-D convolution with one filter a channel; `padding` as in `conv`."""
    kernel = _pair(kernel)
    centred = tuple((k - 1) // 2 for k in kernel)
    padding = centred if padding is None else padding
    if stride == 1 and padding != "valid" and padding != "same" and _pair(padding) == centred:
        padding = "same"
    x, padding = _pad(x, padding, name)
    return keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding=padding,
        use_bias=use_bias,
        depthwise_initializer=initializer or he_normal(),
        name=name,
    )(x)


def batch_norm(x, *, name, epsilon=1e-5, momentum=0.9, scale=True, gamma_initializer="ones"):
    """Batch normalisation over the channels; `momentum` in Keras's sense (PyTorch's is one minus this)."""
    return BatchNormalization(
        epsilon=epsilon, momentum=momentum, scale=scale, gamma_initializer=gamma_initializer, name=name
    )(x)


def activate(x, function="relu", *, name=None):
    """Activation as a layer of its own; `function` is any Keras activation."""
    return keras.layers.Activation(silu if function == "silu" else function, name=name)(x)


def max_pool(x, size=3, stride=2, *, name, padding="valid", ceil=False):
    """Max pooling of features that are not negative, because padded zeros must never win a maximum.

    `ceil=True` counts the last incomplete window, as Caffe does.
    """
    x, padding = _pad(x, padding, name, extra=stride - 1 if ceil else 0)
    return keras.layers.MaxPooling2D(size, stride, padding=padding, name=name)(x)


def global_average_pool(x, *, name="avgpool", keepdims=False):
    """Mean over height and width: (batch, height, width, channels) -> (batch, channels)."""
    return keras.layers.GlobalAveragePooling2D(keepdims=keepdims, name=name)(x)


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _pad(x, padding, name, extra=0):
    """Returns `x` with explicit zeros around it, and the `padding` argument for the layer behind."""
    if padding == "same" or (padding == "valid" and not extra):
        return x, padding
    height, width = _pair(0 if padding == "valid" else padding)
    if height or width or extra:
        zeros = ((height, height + extra), (width, width + extra))
        x = keras.layers.ZeroPadding2D(zeros, name=f"{name}.pad")(x)
    return x, "valid"
