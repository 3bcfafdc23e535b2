"""Network in Network.

Lin, Chen and Yan 2013, "Network In Network", section 3, figure 2, section 4 (CIFAR-10).

* An mlpconv layer is a convolution and two 1x1 convolutions ("cccp" in the authors' Caffe files). The last 1x1
  convolution has a map for each class, whose mean is the score of the class. ReLU follows every convolution, the last
  one included.
* The paper has no network for ImageNet; `nin` is the one that its authors gave to Caffe's model zoo.
* The paper gives no widths, kernels and pooling windows; they are those of the Caffe files. There the second pooling
  layer of the CIFAR-10 network averages; here all are max pooling, as in the paper.
* Initialisation: the Caffe files start with deviations of 0.01 to 0.05 and train slowly; here He et al.'s.
* Layer names are those of the Caffe files.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.classic import conv_relu, convolutional_output
from kerasnets.blocks.convolution import max_pool
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper("Network In Network", "Lin, Chen, Yan", 2013, "https://arxiv.org/abs/1312.4400")
CAFFE_PIXELS = Preprocessing(224, 224 / 256, "bilinear", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "bgr")


class Mlpconv(NamedTuple):
    """An mlpconv layer: names and filters of its convolutions (without the classifier), geometry of the first one."""

    names: tuple[str, ...]
    filters: tuple[int, ...]
    kernel: int
    stride: int = 1
    padding: int | None = None


class Spec(NamedTuple):
    """The mlpconv layers, how many of the last poolings have dropout behind them, the classifier's name."""

    layers: tuple[Mlpconv, ...]
    dropouts: int
    classifier: str


def nin(x, spec: Spec, *, dropout=0.5):
    """mlpconv layers with 3x3 / 2 max pooling between them.

    dropout: rate of dropout behind the pooling layers, 0 to 1.
    """
    last = len(spec.layers) - 1
    for i, (names, widths, *geometry) in enumerate(spec.layers):
        for name, filters in zip(names, widths, strict=True):
            kernel, stride, padding = geometry
            x = conv_relu(x, filters, kernel, stride, padding=padding, name=name)
            geometry = (1, 1, None)
        if i < last:
            x = max_pool(x, 3, 2, ceil=True, name=f"pool{i + 1}")
            if dropout and i >= last - spec.dropouts:
                x = keras.layers.Dropout(dropout, name=f"drop{i + 1}")(x)
    return x


def nin_head(x, spec: Spec, classes, activation):
    """The last 1x1 convolution and the mean of its maps."""
    return convolutional_output(x, classes, activation, name=spec.classifier)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name, python_name=python_name, family="nin", paper=PAPER, body=nin, head=nin_head, spec=spec, **columns
    )


_WHITENING = "pixels are normalised by mean and deviation (paper: contrast normalisation and whitening of each image)"
_ZOO = "the network for ImageNet in Caffe's model zoo (paper: none for ImageNet)"
_CIFAR_LAYERS = (
    Mlpconv(("conv1", "cccp1", "cccp2"), (192, 160, 96), 5),
    Mlpconv(("conv2", "cccp3", "cccp4"), (192, 192, 192), 5),
    Mlpconv(("conv3", "cccp5"), (192, 192), 3),
)
_IMAGENET_LAYERS = (
    Mlpconv(("conv1", "cccp1", "cccp2"), (96, 96, 96), 11, 4, 0),
    Mlpconv(("conv2", "cccp3", "cccp4"), (256, 256, 256), 5),
    Mlpconv(("conv3", "cccp5", "cccp6"), (384, 384, 384), 3),
    Mlpconv(("conv4-1024", "cccp7-1024"), (1024, 1024), 3),
)

register(
    _variant(
        "nin_cifar",
        "NiNCIFAR",
        Spec(_CIFAR_LAYERS, 2, "cccp6"),
        summary="three mlpconv layers for CIFAR-10",
        feature_shapes={"cccp2": (32, 32, 96), "pool1": (16, 16, 96), "pool2": (8, 8, 192), "cccp5": (8, 8, 192)},
        differences=(_WHITENING,),
        **CIFAR,
    ),
    _variant(
        "nin",
        "NiN",
        Spec(_IMAGENET_LAYERS, 1, "cccp8-1024"),
        summary="four mlpconv layers for ImageNet",
        min_size=51,
        preprocessing=CAFFE_PIXELS,
        feature_shapes={"cccp2": (54, 54, 96), "pool1": (27, 27, 96), "pool2": (13, 13, 256), "pool3": (6, 6, 384)},
        differences=(_ZOO,),
    ),
)
