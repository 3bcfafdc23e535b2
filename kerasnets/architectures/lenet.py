"""LeNet-5.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B and figure 2.

`lenet5_modern` is what most libraries call LeNet-5: every map of C3 sees all maps of S2, sub-sampling is average pooling without
coefficients, the output is a softmax layer.
"""

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import conv
from kerasnets.blocks.head import output
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Gradient-Based Learning Applied to Document Recognition",
    "LeCun, Bottou, Bengio, Haffner",
    1998,
    "http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
)
# The paper's pixels: background -0.1, ink 1.175, which makes the mean about 0 and the variance about 1.
PIXELS = Preprocessing(32, 1.0, "bilinear", (20.0,), (200.0,))


def lenet5_modern(x, spec):
    """Two 5x5 convolutions with tanh and average pooling, then a 5x5 convolution that sees everything."""
    for name, filters in (("c1", 6), ("c3", 16)):
        x = conv(x, filters, 5, padding="valid", use_bias=True, initializer="glorot_uniform", name=name)
        x = keras.layers.Activation("tanh", name=f"{name}.tanh")(x)
        x = keras.layers.AveragePooling2D(2, name=f"s{int(name[1]) + 1}")(x)
    x = conv(x, 120, 5, padding="valid", use_bias=True, initializer="glorot_uniform", name="c5")
    return keras.layers.Activation("tanh", name="c5.tanh")(x)


def lenet5_modern_head(x, spec, classes, activation):
    """F6 and a softmax layer."""
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(84, activation="tanh", name="f6")(x)
    return output(x, classes, activation)


register(
    Variant(
        name="lenet5_modern",
        python_name="LeNet5Modern",
        family="lenet",
        summary="LeNet-5 as it is taught today",
        paper=PAPER,
        body=lenet5_modern,
        head=lenet5_modern_head,
        spec=None,
        input_shape=(32, 32, 1),
        classes=10,
        fixed_size=True,
        preprocessing=PIXELS,
        stages={"s2": (14, 14, 6), "s4": (5, 5, 16), "c5": (1, 1, 120)},
        departures=(
            "C3 is fully connected (paper: a table of 60 connections)",
            "plain tanh (paper: 1.7159 tanh(2x/3))",
            "average pooling (paper: a trainable coefficient and bias for each map, then the squashing function)",
            "softmax output (paper: Euclidean radial basis functions with fixed codes)",
        ),
    ),
)
