"""ZFNet.

Zeiler and Fergus 2013, "Visualizing and Understanding Convolutional Networks", figure 3, section 3.1 (training),
section 5.1 and table 3 (the wider net).

* AlexNet in one column, with a first layer of 7x7 / 2 in place of 11x11 / 4 and a second one of stride 2.
* Of the normalisation, which comes after the pooling, the paper only says "contrast normalized across feature maps".
  The paper changes Krizhevsky's network and names its changes, so this is taken to be his local response normalisation
  with his constants (n=5, k=2, alpha=1e-4, beta=0.75).
* The sizes of figure 3 (224, 110, 55, 26, 13, 6) need padding 1 in conv1, none in conv2, and pooling that counts the
  last incomplete window.
* Section 3.1: after each training step, filters with a root mean square above 0.1 are scaled back to it. Here this is a
  constraint of the convolutions, which every Keras optimizer applies.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.classic import conv_relu, hidden_dense
from kerasnets.blocks.convolution import max_pool
from kerasnets.blocks.head import output
from kerasnets.layers.filter_norm import MaxFilterRMS
from kerasnets.layers.local_response_norm import LocalResponseNormalization
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Visualizing and Understanding Convolutional Networks",
    "Zeiler, Fergus",
    2013,
    "https://arxiv.org/abs/1311.2901",
)
# Pixels are not scaled. The paper subtracts the mean image; here it is the mean colour.
PIXELS = Preprocessing(224, 224 / 256, "bilinear", (123.68, 116.78, 103.94), (1.0, 1.0, 1.0))


class Spec(NamedTuple):
    """Figure 3 and table 3: filters of conv1 to conv5, units of fc6 and fc7."""

    filters: tuple[int, ...]
    hidden: int = 4096


def zfnet(x, spec: Spec, *, filter_rms=0.1):
    """conv1 to conv5.

    filter_rms: largest root mean square that training allows a filter of a convolution, or `None` for no limit.
    """
    first, second, third, fourth, fifth = spec.filters
    x = _conv(x, first, 7, 2, filter_rms, padding=1, name="conv1")
    x = LocalResponseNormalization(name="norm1")(max_pool(x, 3, 2, ceil=True, name="pool1"))
    x = _conv(x, second, 5, 2, filter_rms, padding="valid", name="conv2")
    x = LocalResponseNormalization(name="norm2")(max_pool(x, 3, 2, ceil=True, name="pool2"))
    x = _conv(x, third, 3, 1, filter_rms, name="conv3")
    x = _conv(x, fourth, 3, 1, filter_rms, name="conv4")
    x = _conv(x, fifth, 3, 1, filter_rms, name="conv5")
    return max_pool(x, 3, 2, name="pool5")


def _conv(x, filters, kernel, stride, filter_rms, **options):
    constraint = None if filter_rms is None else MaxFilterRMS(filter_rms)
    return conv_relu(x, filters, kernel, stride, initializer=_narrow(), kernel_constraint=constraint, **options)


def _narrow():
    return keras.initializers.RandomNormal(0.0, 0.01)


def zfnet_head(x, spec: Spec, classes, activation, *, dropout=0.5):
    """fc6, fc7 and fc8.

    dropout: rate of dropout behind fc6 and fc7, 0 to 1.
    """
    x = keras.layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = hidden_dense(x, spec.hidden, dropout=dropout, kernel_initializer=_narrow(), name=name)
    return output(x, classes, activation, initializer=_narrow())


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    first, second, third, fourth, fifth = spec.filters
    return Variant(
        name=name,
        python_name=python_name,
        family="zfnet",
        paper=PAPER,
        body=zfnet,
        head=zfnet_head,
        spec=spec,
        min_size=64,
        fixed_size=True,
        preprocessing=PIXELS,
        feature_shapes={
            "conv1": (110, 110, first),
            "norm1": (55, 55, first),
            "conv2": (26, 26, second),
            "norm2": (13, 13, second),
            "conv3": (13, 13, third),
            "conv4": (13, 13, fourth),
            "conv5": (13, 13, fifth),
            "pool5": (6, 6, fifth),
        },
        differences=("the mean colour is subtracted (paper: the mean image)",),
        **columns,
    )


_WIDE = "ZFNet with 512, 1024 and 512 filters in its last convolutions"

register(
    _variant("zfnet", "ZFNet", Spec((96, 256, 384, 384, 256)), summary="AlexNet with a first layer of 7x7, stride 2"),
    _variant("zfnet_wide", "ZFNetWide", Spec((96, 256, 512, 1024, 512)), summary=_WIDE),
)
