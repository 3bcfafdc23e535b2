"""AlexNet.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", figure 2,
sections 3.1 to 3.5 (layers), 4.2 (dropout), 5 (initialisation).

* `alexnet` is the paper's network. The two GPUs are two groups in conv2, conv4 and conv5. The order is ReLU, local
  response normalisation, overlapping 3x3 / 2 max pooling. The authors' code pools conv1 before its ReLU, divides alpha
  by the window and starts conv3 to conv5 with deviation 0.03; where paper and code differ, this is the paper.
* Input size: the paper says 224, but its 55x55 map needs 227 without padding (or 224 with three columns of zeros). Here
  it is 227.
* `alexnet_torchvision` is the one-column network of Krizhevsky 2014, "One weird trick for parallelizing convolutional
  neural networks", as in torchvision.
* Layer names of `alexnet` are those of Caffe's `bvlc_alexnet`.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.classic import conv_relu, hidden_dense
from kerasnets.blocks.convolution import max_pool
from kerasnets.blocks.head import output
from kerasnets.layers.local_response_norm import LocalResponseNormalization
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "ImageNet Classification with Deep Convolutional Neural Networks",
    "Krizhevsky, Sutskever, Hinton",
    2012,
    "https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
)
# Pixels are not scaled. The paper subtracts the mean image; here it is the mean colour.
PIXELS = Preprocessing(227, 227 / 256, "bilinear", (123.68, 116.78, 103.94), (1.0, 1.0, 1.0))


class Spec(NamedTuple):
    """Figure 2: filters of conv1 to conv5 (both groups together), units of fc6 and fc7.

    `pool` is the side of the max pooling windows, whose stride is 2: they overlap with 3, not with 2 (section 3.4).
    """

    filters: tuple[int, ...]
    hidden: int = 4096
    pool: int = 3


def alexnet(x, spec: Spec):
    """conv1 to conv5. Weights have deviation 0.01; biases of conv2, conv4 and conv5 start at 1 (section 5)."""
    first, second, third, fourth, fifth = spec.filters
    x = _conv(x, first, 11, 4, padding="valid", name="conv1")
    x = max_pool(LocalResponseNormalization(name="norm1")(x), spec.pool, 2, name="pool1")
    x = _conv(x, second, 5, groups=2, bias=1.0, name="conv2")
    x = max_pool(LocalResponseNormalization(name="norm2")(x), spec.pool, 2, name="pool2")
    x = _conv(x, third, 3, name="conv3")
    x = _conv(x, fourth, 3, groups=2, bias=1.0, name="conv4")
    x = _conv(x, fifth, 3, groups=2, bias=1.0, name="conv5")
    return max_pool(x, spec.pool, 2, name="pool5")


def _conv(x, filters, kernel, stride=1, *, bias=0.0, **options):
    bias = keras.initializers.Constant(bias)
    return conv_relu(x, filters, kernel, stride, initializer=_narrow(), bias_initializer=bias, **options)


def _narrow():
    return keras.initializers.RandomNormal(0.0, 0.01)


def one_column(x, spec: Spec):
    """torchvision's five convolutions, without groups and without normalisation."""
    first, second, third, fourth, fifth = spec.filters
    x = conv_relu(x, first, 11, 4, padding=2, name="features.0")
    x = max_pool(x, spec.pool, 2, name="features.2")
    x = conv_relu(x, second, 5, name="features.3")
    x = max_pool(x, spec.pool, 2, name="features.5")
    x = conv_relu(x, third, 3, name="features.6")
    x = conv_relu(x, fourth, 3, name="features.8")
    x = conv_relu(x, fifth, 3, name="features.10")
    return max_pool(x, spec.pool, 2, name="features.12")


def alexnet_head(x, spec: Spec, classes, activation, *, dropout=0.5):
    """fc6, fc7 and fc8; hidden biases start at 1.

    dropout: rate of dropout behind fc6 and fc7, 0 to 1.
    """
    x = keras.layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = hidden_dense(
            x, spec.hidden, dropout=dropout, kernel_initializer=_narrow(), bias_initializer="ones", name=name
        )
    return output(x, classes, activation, initializer=_narrow())


def one_column_head(x, spec: Spec, classes, activation, *, dropout=0.5):
    """Three dense layers.

    dropout: rate of dropout before the first and the second dense layer, 0 to 1.
    """
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(dropout, name="classifier.0")(x) if dropout else x
    x = hidden_dense(x, spec.hidden, dropout=dropout, name="classifier.1")
    x = hidden_dense(x, spec.hidden, name="classifier.4")
    return output(x, classes, activation)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name, python_name=python_name, family="alexnet", paper=PAPER, spec=spec, fixed_size=True, **columns
    )


register(
    _variant(
        "alexnet",
        "AlexNet",
        Spec((96, 256, 384, 384, 256)),
        summary="the two-column network of 2012, with local response normalisation",
        body=alexnet,
        head=alexnet_head,
        input_shape=(227, 227, 3),
        min_size=67,
        preprocessing=PIXELS,
        feature_shapes={
            "conv1": (55, 55, 96),
            "pool1": (27, 27, 96),
            "conv2": (27, 27, 256),
            "pool2": (13, 13, 256),
            "conv3": (13, 13, 384),
            "conv4": (13, 13, 384),
            "conv5": (13, 13, 256),
            "pool5": (6, 6, 256),
        },
        differences=("the mean colour is subtracted (paper: the mean image)",),
    ),
    _variant(
        "alexnet_torchvision",
        "AlexNetTorchvision",
        Spec((64, 192, 384, 256, 256)),
        summary="the one-column network that public weights exist for",
        body=one_column,
        head=one_column_head,
        min_size=63,
        feature_shapes={"features.0": (55, 55, 64), "features.12": (6, 6, 256)},
        differences=(
            "one column of 64-192-384-256-256 filters (paper: 96-256-384-384-256 in two groups)",
            "no local response normalisation",
            "padding 2 around a 224x224 input (paper: 227 without padding)",
            "dropout before the first and the second dense layer (paper: after them)",
            "pixels are divided by their standard deviation",
            "initial weights with He's and Glorot's standard deviations (paper: 0.01)",
        ),
    ),
)
