"""VGG.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.

* 3x3 convolutions with ReLU, five 2x2 max poolings, dense layers of 4096, 4096 and 1000. `vgg16_c` is configuration C:
  the last convolution of its blocks 3 to 5 is 1x1. `vgg11_lrn` is A-LRN: AlexNet's local response normalisation behind
  the first convolution and its ReLU, which the paper finds to be no help (section 4.1).
* Pixels are normalised as torchvision's weights need it; the paper subtracts the mean colour and divides by nothing.
* Initialisation: Glorot's everywhere. The paper starts configuration A from normal numbers of variance 0.01 and deeper
  networks from A's weights, then notes that Glorot and Bengio's initialisation makes that unnecessary.
* The `_bn` variants are torchvision's and later than the paper: batch normalisation between convolution and ReLU.
* Layer names are torchvision's. Its adaptive pooling to 7x7 does nothing at 224x224 and is left out.
"""

import itertools
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
    """One column of table 1: the kernels of each block from top to bottom; then what the columns share."""

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

    dropout: rate of dropout behind fc6 and fc7, 0 to 1.
    """
    x = keras.layers.Flatten(name="flatten")(x)
    x = hidden_dense(x, spec.hidden, dropout=dropout, name="classifier.0")
    x = hidden_dense(x, spec.hidden, dropout=dropout, name="classifier.3")
    return output(x, classes, activation)


def _variant(name: str, python_name: str, spec: Spec, *, configuration: str, **columns) -> Variant:
    layers = 3 + sum(len(kernels) for kernels in spec.blocks)
    # Layers of torchvision's `features`: a convolution, its normalisation and its ReLU count one each, and so does the
    # pooling at a block's end.
    counts = [1 + len(kernels) * (3 if spec.batch_norm else 2) for kernels in spec.blocks]
    pools = [f"features.{end - 1}" for end in itertools.accumulate(counts)]
    shapes = [(112 >> i, 112 >> i, filters) for i, filters in enumerate(spec.filters)]
    return Variant(
        name=name,
        python_name=python_name,
        family="vgg",
        summary=f"{layers} layers, configuration {configuration}" + ", with batch normalisation" * spec.batch_norm,
        paper=PAPER,
        body=vgg,
        head=vgg_head,
        spec=spec,
        fixed_size=True,
        feature_shapes=dict(zip(pools, shapes, strict=True)),
        differences=(_NORM, _PIXELS) if spec.batch_norm else (_PIXELS,),
        **columns,
    )


_PIXELS = "pixels are also divided by a standard deviation (paper: only the mean colour is subtracted)"
_NORM = "batch normalisation before every ReLU of a convolution (paper: none)"

# Table 1: 3 and 1 are conv3 and conv1.
A = ((3,), (3,), (3, 3), (3, 3), (3, 3))
B = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
C = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))

register(
    _variant("vgg11", "VGG11", Spec(A), configuration="A"),
    _variant("vgg11_lrn", "VGG11LRN", Spec(A, lrn=True), configuration="A-LRN"),
    _variant("vgg13", "VGG13", Spec(B), configuration="B"),
    _variant("vgg16_c", "VGG16C", Spec(C), configuration="C"),
    _variant("vgg16", "VGG16", Spec(D), configuration="D"),
    _variant("vgg19", "VGG19", Spec(E), configuration="E"),
    _variant("vgg11_bn", "VGG11BN", Spec(A, batch_norm=True), configuration="A"),
    _variant("vgg13_bn", "VGG13BN", Spec(B, batch_norm=True), configuration="B"),
    _variant("vgg16_bn", "VGG16BN", Spec(D, batch_norm=True), configuration="D"),
    _variant("vgg19_bn", "VGG19BN", Spec(E, batch_norm=True), configuration="E"),
)
