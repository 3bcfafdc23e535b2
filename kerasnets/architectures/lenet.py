"""LeNet-5.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B.

* `lenet5` is the paper's network, 60,000 trainable weights: C3 by the paper's table of connections, sub-sampling with a
  coefficient and a bias for each map, the squashing function 1.7159 tanh(2x/3), and radial basis functions around fixed
  drawings of the digits.
* The loss of `lenet5` is part of its layer `predictions` (`RBFOutput.example_losses`): the discriminative one of
  equation 9, or with `loss="mle"` that of equation 8. For `fit` there is `kerasnets.training.paper_losses.RBFLoss`.
* S2 and S4 sum their four inputs, as the text says. Most copies average, which only scales the coefficient.
* Weights start uniform in +-2.4 / fan-in (appendix A; in C3 each map has its own fan-in), biases at zero.
* The outputs of `lenet5` are the softmax of the negative distances: the posterior, if the distances are read as those
  of Gaussians as the paper does. `classifier_activation=None` gives the negative distances.
* `lenet5_softmax` has a dense layer in place of the radial basis functions. `lenet5_modern` is what most libraries call
  LeNet-5: every map of C3 sees all maps of S2, and sub-sampling is average pooling without coefficients.
* `lenet5_caffe` is the network of Caffe's MNIST example (examples/mnist/lenet_train_test.prototxt), which papers on
  compression call LeNet-5: max pooling, and no activation but the one after `ip1`. Their other network,
  LeNet-300-100, has its spec with `filters=()` and `hidden=(300, 100)`.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, conv
from kerasnets.blocks.head import output
from kerasnets.layers.fan_in import FanInUniform, scaled_tanh
from kerasnets.layers.partial_conv import PartialConv2D
from kerasnets.layers.rbf import RBFOutput
from kerasnets.layers.subsampling import TrainableSubsampling
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Gradient-Based Learning Applied to Document Recognition",
    "LeCun, Bottou, Bengio, Haffner",
    1998,
    "http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
)
# The paper's pixels: background -0.1, ink 1.175, which makes the mean about 0 and the variance about 1.
PIXELS = Preprocessing(32, 1.0, "bilinear", (20.0,), (200.0,))

# Caffe multiplies pixels with 1/256.
CAFFE_PIXELS = Preprocessing(28, 1.0, "bilinear", (0.0,), (256.0,))
MAPS = {"c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16), "c5": (1, 1, 120)}

# Table I: the maps of S2 that each map of C3 sees.
C3 = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


class Spec(NamedTuple):
    """For each map of C3 the maps of S2 that it sees: the paper's table, or another one."""

    c3: tuple[tuple[int, ...], ...] = C3


def lenet5(x, spec: Spec):
    """C1 to C5: two convolutions with sub-sampling, and a third one that covers the whole map."""
    x = conv(x, 6, 5, padding="valid", use_bias=True, initializer=FanInUniform(), name="c1")
    x = _subsample(activate(x, scaled_tanh, name="c1.squash"), name="s2")
    x = PartialConv2D(spec.c3, 5, name="c3")(x)
    x = _subsample(activate(x, scaled_tanh, name="c3.squash"), name="s4")
    x = conv(x, 120, 5, padding="valid", use_bias=True, initializer=FanInUniform(), name="c5")
    return activate(x, scaled_tanh, name="c5.squash")


def _subsample(x, *, name):
    x = TrainableSubsampling(2, FanInUniform(4), name=name)(x)
    return activate(x, scaled_tanh, name=f"{name}.squash")


def lenet5_modern(x, spec):
    """Two 5x5 convolutions with tanh and average pooling, then a 5x5 convolution that covers the whole map."""
    for name, filters in (("c1", 6), ("c3", 16)):
        x = conv(x, filters, 5, padding="valid", use_bias=True, initializer="glorot_uniform", name=name)
        x = keras.layers.Activation("tanh", name=f"{name}.tanh")(x)
        x = keras.layers.AveragePooling2D(2, name=f"s{int(name[1]) + 1}")(x)
    x = conv(x, 120, 5, padding="valid", use_bias=True, initializer="glorot_uniform", name="c5")
    return keras.layers.Activation("tanh", name="c5.tanh")(x)


def lenet5_head(x, spec, classes, activation, *, loss="map"):
    """F6 and one radial basis function for each class.

    loss: the loss that the layer `predictions` is trained with, `"map"` (equation 9) or `"mle"` (equation 8).
    """
    return RBFOutput(classes, activation, loss, name="predictions")(_f6(x))


def lenet5_softmax_head(x, spec, classes, activation):
    """F6 and a dense layer."""
    return output(_f6(x), classes, activation)


def _f6(x):
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.layers.Dense(84, scaled_tanh, kernel_initializer=FanInUniform(), name="f6")(x)


def lenet5_modern_head(x, spec, classes, activation):
    """F6 and a softmax layer."""
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(84, activation="tanh", name="f6")(x)
    return output(x, classes, activation)


class CaffeSpec(NamedTuple):
    """Filters of the convolutions, and units of the hidden dense layers."""

    filters: tuple[int, ...] = (20, 50)
    hidden: tuple[int, ...] = (500,)


def lenet5_caffe(x, spec: CaffeSpec):
    """5x5 convolutions, each with max pooling, without activations."""
    for number, filters in enumerate(spec.filters, 1):
        x = conv(x, filters, 5, padding="valid", use_bias=True, initializer="glorot_uniform", name=f"conv{number}")
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return x


def lenet5_caffe_head(x, spec: CaffeSpec, classes, activation):
    """Hidden dense layers with ReLU, and a softmax layer."""
    x = keras.layers.Flatten(name="flatten")(x)
    for number, units in enumerate(spec.hidden, 1):
        x = keras.layers.Dense(units, activation="relu", name=f"ip{number}")(x)
    return output(x, classes, activation)


def _variant(name: str, python_name: str, spec=None, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="lenet",
        paper=PAPER,
        spec=spec,
        classes=10,
        fixed_size=True,
        **{"input_shape": (32, 32, 1), "preprocessing": PIXELS, "feature_shapes": MAPS, **columns},
    )


_SOFTMAX = "softmax output (paper: Euclidean radial basis functions with fixed codes)"
_C3 = "C3 is fully connected (paper: a table of 60 connections)"
_TANH = "plain tanh (paper: 1.7159 tanh(2x/3))"
_POOLING = "average pooling (paper: a trainable coefficient and bias for each map, then the squashing function)"
_CAFFE = "20, 50 and 500 filters, max pooling, one ReLU (paper: 6, 16 and 120 filters, sub-sampling, tanh)"

register(
    _variant(
        "lenet5",
        "LeNet5",
        Spec(),
        summary="LeNet-5 as it was published, with radial basis functions",
        body=lenet5,
        head=lenet5_head,
    ),
    _variant(
        "lenet5_softmax",
        "LeNet5Softmax",
        Spec(),
        summary="LeNet-5 with a softmax output",
        body=lenet5,
        head=lenet5_softmax_head,
        differences=(_SOFTMAX,),
    ),
    _variant(
        "lenet5_modern",
        "LeNet5Modern",
        summary="LeNet-5 as it is taught today",
        body=lenet5_modern,
        head=lenet5_modern_head,
        differences=(_C3, _TANH, _POOLING, _SOFTMAX),
    ),
    _variant(
        "lenet5_caffe",
        "LeNet5Caffe",
        CaffeSpec(),
        summary="LeNet-5 as in Caffe's example, the network of papers on compression",
        body=lenet5_caffe,
        head=lenet5_caffe_head,
        differences=(_CAFFE, _C3, _SOFTMAX),
        input_shape=(28, 28, 1),
        min_size=28,
        preprocessing=CAFFE_PIXELS,
        feature_shapes={"conv1": (24, 24, 20), "pool1": (12, 12, 20), "conv2": (8, 8, 50), "pool2": (4, 4, 50)},
    ),
)
