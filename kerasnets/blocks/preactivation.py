"""Residual units in pre-activation order (normalisation, ReLU, convolution): He et al. 2016, Zagoruyko and Komodakis
2016."""

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv
from kerasnets.blocks.residual import residual_sum
from kerasnets.layers.shortcut import PaddedIdentity


def basic(filters, stride):
    """Two 3x3 convolutions, as the (filters, kernel, stride) that `preactivation_unit` takes."""
    return (filters, 3, stride), (filters, 3, 1)


def bottleneck(filters, stride, stride_on="3x3"):
    """1x1, 3x3 and 1x1, the last one four times as wide."""
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    return (filters, 1, first), (filters, 3, second), (4 * filters, 1, 1)


def preactivation_unit(
    x, convolutions, *, name, shortcut="downsample.0", norm="bn", activated=False, drop=0.0, **options
):
    """Adds a branch of convolutions, each behind normalisation and ReLU, to a clean identity (He et al. 2016, figure
    4e).

    Where the shapes change, the shortcut is taken from the first normalisation and ReLU, and has none of its own.

    Args:
        x: (batch, height, width, channels).
        convolutions: (filters, kernel, stride) of each convolution.
        name: the unit's name, the prefix of its layers' names.
        shortcut: own name of the 1x1 convolution that fits the shortcut, or `None` for zero channels (option A).
        norm: own name of the normalisations, before their number.
        activated: whether `x` is normalised and activated already, as behind the stem.
        drop: the branch's rate of stochastic depth.
        options: `dropout`, the rate behind the last ReLU (Wide ResNet, section 2.4), and `initializer` of the
            convolutions.
    """
    initializer, dropout = options.get("initializer"), options.get("dropout", 0.0)
    filters, stride = convolutions[-1][0], max(step for _, _, step in convolutions)
    identity = x
    if stride != 1 or x.shape[-1] != filters:
        x = x if activated else _activated(x, f"{name}.{norm}1", f"{name}.relu1")
        identity = _fit(x, filters, stride, f"{name}.{shortcut}" if shortcut else None, name, initializer)
        activated = True

    def branch(y):
        for number, (width, kernel, step) in enumerate(convolutions, 1):
            if number > 1 or not activated:
                y = _activated(y, f"{name}.{norm}{number}", f"{name}.relu{number}")
            if dropout and number == len(convolutions):
                y = keras.layers.Dropout(dropout, name=f"{name}.dropout")(y)
            y = conv(y, width, kernel, step, name=f"{name}.conv{number}", initializer=initializer)
        return y

    return residual_sum(identity, x, branch, name=name, drop=drop)


def _fit(x, filters, stride, convolution, name, initializer):
    if convolution is None:
        return PaddedIdentity(filters, stride, name=f"{name}.downsample")(x)
    return conv(x, filters, 1, stride, name=convolution, initializer=initializer)


def _activated(x, norm, relu):
    return activate(batch_norm(x, name=norm), name=relu)
