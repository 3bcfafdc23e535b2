"""VGG.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.

* 3x3 convolutions with ReLU, five 2x2 max poolings, dense layers of 4096, 4096 and 1000. `vgg16_c` is configuration C,
  whose last convolution of the blocks 3 to 5 is 1x1. `vgg11_lrn` is A-LRN, with AlexNet's local response normalisation
  behind the first convolution and its ReLU, which the paper finds to be no help (section 4.1).
* Pixels are normalised as torchvision's weights need it; the paper subtracts the mean colour and divides by nothing.
* Initialisation: the paper starts configuration A from normal numbers of variance 0.01 and deeper ones from A's
  weights, then notes that Glorot and Bengio's initialisation makes that unnecessary; here Glorot's everywhere.
* The `_bn` rows are torchvision's: batch normalisation between convolution and ReLU, after the paper's time.
* Layers are called as in torchvision; its adaptive pooling to 7x7 does nothing at 224x224 and is left out.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.classic import hidden_dense
from kerasnets.blocks.convolution import activate, batch_norm, conv, he_normal, max_pool
from kerasnets.blocks.head import output
from kerasnets.layers.local_response_norm import LocalResponseNormalization
from kerasnets.registry import Paper

PAPER = Paper(
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "Simonyan, Zisserman",
    2014,
    "https://arxiv.org/abs/1409.1556",
)


class Spec(NamedTuple):
    """A column of table 1: the kernels of each block from top to bottom, and what all columns share."""

    blocks: tuple[tuple[int, ...], ...]
    batch_norm: bool = False
    filters: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    lrn: bool = False


def vgg(x, spec: Spec):
    """Five blocks of convolutions, each with a pooling layer at its end."""
    initializer = he_normal() if spec.batch_norm else "glorot_uniform"
    index = 0
    for kernels, filters in zip(spec.blocks, spec.filters, strict=True):
        for kernel in kernels:
            x = conv(x, filters, kernel, use_bias=True, initializer=initializer, name=f"features.{index}")
            if spec.batch_norm:
                index += 1
                x = batch_norm(x, name=f"features.{index}")
            x = activate(x, "relu", name=f"features.{index + 1}")
            index += 2
            if spec.lrn and index == 2:
                x = LocalResponseNormalization(name="features.1.lrn")(x)
        x = max_pool(x, 2, 2, name=f"features.{index}")
        index += 1
    return x


def vgg_head(x, spec: Spec, classes, activation, *, dropout=0.5):
    """fc6, fc7 and the classifier.

    dropout: share of the units of fc6 and fc7 that training drops, 0 to 1.
    """
    x = keras.layers.Flatten(name="flatten")(x)
    x = hidden_dense(x, spec.hidden, dropout=dropout, name="classifier.0")
    x = hidden_dense(x, spec.hidden, dropout=dropout, name="classifier.3")
    return output(x, classes, activation)


# Table 1: 3 and 1 are conv3 and conv1.
A = ((3,), (3,), (3, 3), (3, 3), (3, 3))
B = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
C = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))


_PIXELS = "pixels are divided by a deviation too (paper: only the mean colour is subtracted)"
_NORM = "batch normalisation before every ReLU of a convolution (paper: none)"


def _variant(depth: int, blocks, *, suffix="", batch_norm=False, letter="") -> Variant:
    spec = Spec(blocks, batch_norm, lrn=suffix == "_lrn")
    layers = [1 + len(kernels) * (3 if batch_norm else 2) for kernels in blocks]
    pools = [f"features.{sum(layers[: i + 1]) - 1}" for i in range(len(blocks))]
    sizes = (112, 56, 28, 14, 7)
    return Variant(
        name=f"vgg{depth}{suffix}",
        python_name=f"VGG{depth}{suffix.removeprefix('_').upper()}",
        family="vgg",
        summary=f"{depth} layers, configuration {letter}" + (", with batch normalisation" if batch_norm else ""),
        paper=PAPER,
        body=vgg,
        head=vgg_head,
        spec=spec,
        fixed_size=True,
        stages={p: (size, size, filters) for p, size, filters in zip(pools, sizes, spec.filters, strict=True)},
        differences=(_NORM, _PIXELS) if batch_norm else (_PIXELS,),
    )


register(
    _variant(11, A, letter="A"),
    _variant(11, A, letter="A-LRN", suffix="_lrn"),
    _variant(13, B, letter="B"),
    _variant(16, C, letter="C", suffix="_c"),
    _variant(16, D, letter="D"),
    _variant(19, E, letter="E"),
    _variant(11, A, letter="A", suffix="_bn", batch_norm=True),
    _variant(13, B, letter="B", suffix="_bn", batch_norm=True),
    _variant(16, D, letter="D", suffix="_bn", batch_norm=True),
    _variant(19, E, letter="E", suffix="_bn", batch_norm=True),
)
