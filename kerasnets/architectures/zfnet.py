"""ZFNet.

Zeiler and Fergus 2013, "Visualizing and Understanding Convolutional Networks", figure 3, section 3.1 (training),
section 5.1 and table 3 (the wider net).

* AlexNet in one column, with a first layer of 7x7 / 2 in place of 11x11 / 4 and a second one of stride 2.
* "Contrast normalized across feature maps" is all that the paper says of the normalisation; pooling comes before it.
  Across maps, and in a net that is Krizhevsky's but for the changes it names, this is local response normalisation
  with his constants (n=5, k=2, alpha=1e-4, beta=0.75).
* 224 -> 110 -> 55 -> 26 -> 13 -> 6 of figure 3 needs padding 1 in conv1, none in conv2, and pooling that counts the
  last incomplete window.
* Section 3.1: after each step a filter of any convolutional layer whose root mean square is above 0.1 is scaled back to
  it; here a constraint of the convolutions, which every Keras optimizer applies.
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
# The mean is subtracted and nothing is scaled; the paper subtracts an image, here its mean colour.
PIXELS = Preprocessing(224, 224 / 256, "bilinear", (123.68, 116.78, 103.94), (1.0, 1.0, 1.0))


class Spec(NamedTuple):
    """Filters of conv1 to conv5 and units of fc6 and fc7."""

    filters: tuple[int, ...] = (96, 256, 384, 384, 256)
    hidden: int = 4096


def zfnet(x, spec: Spec, *, filter_rms=0.1):
    """conv1 to conv5.

    filter_rms: the largest root mean square of a filter, or `None` for no limit.
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

    dropout: share of the units of fc6 and fc7 that training drops, 0 to 1.
    """
    x = keras.layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = hidden_dense(x, spec.hidden, dropout=dropout, kernel_initializer=_narrow(), name=name)
    return output(x, classes, activation, initializer=_narrow())


def _variant(name: str, python_name: str, summary: str, *filters: int) -> Variant:
    spec = Spec((96, 256, *filters))
    sizes = zip(
        ("conv1", "norm1", "conv2", "norm2", "conv3", "conv4", "conv5"), (110, 55, 26, 13, 13, 13, 13), strict=True
    )
    maps = dict(zip(("1", "2", "3", "4", "5"), spec.filters, strict=True))
    return Variant(
        name=name,
        python_name=python_name,
        family="zfnet",
        summary=summary,
        paper=PAPER,
        body=zfnet,
        head=zfnet_head,
        spec=spec,
        min_size=64,
        fixed_size=True,
        preprocessing=PIXELS,
        stages={name: (size, size, maps[name[-1]]) for name, size in sizes} | {"pool5": (6, 6, spec.filters[-1])},
        differences=("the mean colour is subtracted (paper: the mean image)",),
    )


register(
    _variant("zfnet", "ZFNet", "AlexNet improved by looking inside", 384, 384, 256),
    _variant(
        "zfnet_wide", "ZFNetWide", "ZFNet with 512, 1024 and 512 filters in its last convolutions", 512, 1024, 512
    ),
)
