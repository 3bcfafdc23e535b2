"""Residual units in pre-activation order (normalisation, ReLU, convolution).

He et al. 2016, "Identity Mappings in Deep Residual Networks"; Zagoruyko and Komodakis 2016, "Wide Residual Networks".
"""

import functools

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv
from kerasnets.blocks.residual import residual_sum
from kerasnets.layers.shortcut import PaddedIdentity


def basic(filters, stride):
    """Two 3x3 convolutions, as the (filters, kernel, stride) that `preactivation_unit` takes."""
    return (filters, 3, stride), (filters, 3, 1)


def bottleneck(filters, stride, stride_on="3x3"):
    """1x1, 3x3 and 1x1 convolution, the last one four times as wide."""
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    return (filters, 1, first), (filters, 3, second), (4 * filters, 1, 1)


bottleneck_v1 = functools.partial(bottleneck, stride_on="1x1")


def preactivation_unit(
    x, convolutions, *, name, shortcut="downsample.0", norm="bn", activated=False, drop=0.0, **options
):
    """Adds a branch of convolutions to the identity; each convolution stands behind a normalisation and ReLU.

    Where the shapes change, the shortcut reads the unit's first normalisation and ReLU (He et al. 2016, figure 4e).

    Args:
        x: (batch, height, width, channels).
        convolutions: (filters, kernel, stride) of each convolution.
        name: the unit's name, the prefix of its layers' names.
        shortcut: name of the shortcut's 1x1 convolution inside the unit; `None` pads with zero channels instead
            (option A).
        norm: name of the normalisations inside the unit, before their number.
        activated: whether `x` is normalised and activated already, as it is behind some stems.
        drop: probability that training drops the branch.
        options: `dropout`, the rate of dropout behind the last ReLU (Wide ResNet, section 2.4), and `initializer` of
            the convolutions.
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
