"""EfficientNet, and the Lite networks of the same authors.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1; the scaled
networks and the Lite ones are those of the authors' code (tensorflow/tpu, models/official/efficientnet).

* Compound scaling, equation 3: depth 1.2^phi, width 1.1^phi, resolution 224 * 1.15^phi. The released B1 to B7 round
  these (phi = 0.5, 1, 2, ...) and from B4 on go beyond them. The table below has the released coefficients. Widths are
  rounded to the nearest multiple of 8 that is at least nine tenths of them, numbers of blocks upwards.
* `efficientnet_b0` to `_b7` pad as TensorFlow and have epsilon 1e-3, as the authors' code. Their layer names are those
  of timm, whose `tf_efficientnet_*` networks have the authors' weights. The `_torchvision` variants pad symmetrically.
* Squeeze-and-excitation reduces to a quarter of the block's input channels, not of the expanded ones.
* Stochastic depth ("drop connect") is decided for every image, and its rate grows by block to 0.2, as in the code
  (first version of the text: 0.3).
* Lite: no squeeze-and-excitation, ReLU6 instead of swish; stem, last convolution, first and last stage are not scaled.
"""

import math
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import global_average_pool
from kerasnets.blocks.head import output
from kerasnets.blocks.inverted_residual import (
    Block,
    Source,
    conv_unit,
    inverted_residuals,
    round_channels,
    tensorflow,
    torchvision,
)
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    "Tan, Le",
    2019,
    "https://arxiv.org/abs/1905.11946",
)


class Spec(NamedTuple):
    """Source, scaling coefficients, dropout; table 1: (kernel, expansion, filters, blocks, stride) of each stage of B0.

    `last` has the names of the last convolution and its normalisation; `lite` tells the two kinds of networks apart.
    """

    source: Source
    width: float
    depth: float
    resolution: int
    dropout: float
    last: tuple[str, str] = ("conv_head", "bn2")
    lite: bool = False
    stem: int = 32
    stages: tuple[tuple[int, int, int, int, int], ...] = (
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    )
    features: int = 1280


def efficientnet(x, spec: Spec, *, stochastic_depth=0.2):
    """A 3x3 convolution, seven stages of inverted residuals, and a 1x1 convolution."""
    if not 0 <= stochastic_depth < 1:
        raise ValueError(
            f"`stochastic_depth` should be at least 0 and less than 1. Received: stochastic_depth={stochastic_depth!r}"
        )
    activation, width = ("relu6", 1.0) if spec.lite else ("silu", spec.width)
    source = spec.source
    x = conv_unit(x, round_channels(spec.stem * width), 3, 2, source, names=source.stem, activation=activation)
    stages = scaled_stages(spec, x.shape[-1], activation)
    x = inverted_residuals(x, stages, source, drop=stochastic_depth, squeeze_activation="silu")
    return conv_unit(x, round_channels(spec.features * width), 1, 1, source, names=spec.last, activation=activation)


def scaled_stages(spec: Spec, channels: int, activation: str) -> list[list[Block]]:
    """Returns the blocks of table 1 after compound scaling; `channels` is the width of the stem."""
    stages = []
    for number, (kernel, expansion, filters, repeats, stride) in enumerate(spec.stages):
        fixed = spec.lite and number in (0, len(spec.stages) - 1)
        filters = round_channels(filters * spec.width)
        blocks = []
        for index in range(repeats if fixed else math.ceil(repeats * spec.depth)):
            squeezed = 0 if spec.lite else max(1, channels // 4)
            blocks.append(Block(kernel, expansion * channels, filters, squeezed, activation, 1 if index else stride))
            channels = filters
        stages.append(blocks)
    return stages


def efficientnet_head(x, spec: Spec, classes, activation, *, dropout=None):
    """Global average pooling and one dense layer.

    dropout: rate of dropout before the classifier, 0 to 1; `None` is the authors' rate, 0.2 to 0.5.
    """
    dropout = spec.dropout if dropout is None else dropout
    x = global_average_pool(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    uniform = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
    return output(x, classes, activation, initializer=uniform)


def _variant(name: str, python_name: str, spec: Spec, *, resized=None, **columns) -> Variant:
    """`resized` is the shorter side of an image before its center is cropped."""
    size, crop = spec.resolution, spec.resolution / (resized or spec.resolution + 32)
    # The authors' code has 127 and 128 for Lite; the public weights are evaluated with these.
    constants = {"mean": (127.5,) * 3, "std": (127.5,) * 3} if spec.lite else {}
    return Variant(
        name=name,
        python_name=python_name,
        family="efficientnet",
        summary=f"the mobile inverted residual network at scale {name.split('_')[1].capitalize()}",
        paper=PAPER,
        body=efficientnet,
        head=efficientnet_head,
        spec=spec,
        input_shape=(size, size, 3),
        preprocessing=Preprocessing(size, crop, "bicubic", **constants),
        **columns,
    )


def _tv(*scaling, **constants) -> Spec:
    """torchvision's form of the network."""
    source = torchvision(block="features.{position}.{index}", **constants)
    return Spec(source, *scaling, last=("features.8.0", "features.8.1"))


_RELU6 = "no squeeze-and-excitation, ReLU6 instead of swish (the authors' networks for phones; paper: B0 to B7 only)"
_FIXED = "stem, last convolution, and the repeats of the first and last stage are not scaled"
_PADDING = "symmetric padding where the stride is 2 (authors' code: more zeros at the bottom and right)"
_EPSILON = "batch normalisation with epsilon 1e-5 and momentum 0.9 (authors' code: 1e-3 and 0.99)"
_SIZE = "288x288 pixels (authors: 260)"

_SHAPES = {
    "conv_stem": (112, 112, 32),
    "blocks.0.0.bn2": (112, 112, 16),
    "blocks.1.1": (56, 56, 24),
    "blocks.2.1": (28, 28, 40),
    "blocks.3.2": (14, 14, 80),
    "blocks.4.2": (14, 14, 112),
    "blocks.5.3": (7, 7, 192),
    "blocks.6.0.bn3": (7, 7, 320),
    "conv_head": (7, 7, 1280),
}
_TV_SHAPES = {
    "features.0.0": (112, 112, 32),
    "features.1.0.block.2.1": (112, 112, 16),
    "features.2.1": (56, 56, 24),
    "features.3.1": (28, 28, 40),
    "features.4.2": (14, 14, 80),
    "features.5.2": (14, 14, 112),
    "features.6.3": (7, 7, 192),
    "features.7.0.block.3.1": (7, 7, 320),
    "features.8.0": (7, 7, 1280),
}

_TF, _TF_CONSTANTS = tensorflow(momentum=0.99), {"epsilon": 1e-3, "momentum": 0.99}
_B5_TV, _B6_TV = _tv(1.6, 2.2, 456, 0.4, **_TF_CONSTANTS), _tv(1.8, 2.6, 528, 0.5, **_TF_CONSTANTS)
_B7_TV = _tv(2.0, 3.1, 600, 0.5, **_TF_CONSTANTS)
_B0 = {"feature_shapes": _SHAPES}
_LITE = {"differences": (_RELU6, _FIXED)}
_B0_TV = {"feature_shapes": _TV_SHAPES, "differences": (_PADDING, _EPSILON), "resized": 256}
_B1_TV = {"differences": (_PADDING, _EPSILON)}
_B2_TV = {"differences": (_PADDING, _EPSILON, _SIZE)}
_TV = {"differences": (_PADDING,)}

register(
    _variant("efficientnet_b0", "EfficientNetB0", Spec(_TF, 1.0, 1.0, 224, 0.2), **_B0),
    _variant("efficientnet_b1", "EfficientNetB1", Spec(_TF, 1.0, 1.1, 240, 0.2)),
    _variant("efficientnet_b2", "EfficientNetB2", Spec(_TF, 1.1, 1.2, 260, 0.3)),
    _variant("efficientnet_b3", "EfficientNetB3", Spec(_TF, 1.2, 1.4, 300, 0.3)),
    _variant("efficientnet_b4", "EfficientNetB4", Spec(_TF, 1.4, 1.8, 380, 0.4)),
    _variant("efficientnet_b5", "EfficientNetB5", Spec(_TF, 1.6, 2.2, 456, 0.4)),
    _variant("efficientnet_b6", "EfficientNetB6", Spec(_TF, 1.8, 2.6, 528, 0.5)),
    _variant("efficientnet_b7", "EfficientNetB7", Spec(_TF, 2.0, 3.1, 600, 0.5)),
    _variant("efficientnet_lite0", "EfficientNetLite0", Spec(_TF, 1.0, 1.0, 224, 0.2, lite=True), **_LITE, **_B0),
    _variant("efficientnet_lite1", "EfficientNetLite1", Spec(_TF, 1.0, 1.1, 240, 0.2, lite=True), **_LITE),
    _variant("efficientnet_lite2", "EfficientNetLite2", Spec(_TF, 1.1, 1.2, 260, 0.3, lite=True), **_LITE),
    _variant("efficientnet_lite3", "EfficientNetLite3", Spec(_TF, 1.2, 1.4, 280, 0.3, lite=True), **_LITE),
    _variant("efficientnet_lite4", "EfficientNetLite4", Spec(_TF, 1.4, 1.8, 300, 0.3, lite=True), **_LITE),
    _variant("efficientnet_b0_torchvision", "EfficientNetB0Torchvision", _tv(1.0, 1.0, 224, 0.2), **_B0_TV),
    _variant(
        "efficientnet_b1_torchvision", "EfficientNetB1Torchvision", _tv(1.0, 1.1, 240, 0.2), resized=256, **_B1_TV
    ),
    _variant(
        "efficientnet_b2_torchvision", "EfficientNetB2Torchvision", _tv(1.1, 1.2, 288, 0.3), resized=288, **_B2_TV
    ),
    _variant(
        "efficientnet_b3_torchvision", "EfficientNetB3Torchvision", _tv(1.2, 1.4, 300, 0.3), resized=320, **_B1_TV
    ),
    _variant(
        "efficientnet_b4_torchvision", "EfficientNetB4Torchvision", _tv(1.4, 1.8, 380, 0.4), resized=384, **_B1_TV
    ),
    _variant("efficientnet_b5_torchvision", "EfficientNetB5Torchvision", _B5_TV, resized=456, **_TV),
    _variant("efficientnet_b6_torchvision", "EfficientNetB6Torchvision", _B6_TV, resized=528, **_TV),
    _variant("efficientnet_b7_torchvision", "EfficientNetB7Torchvision", _B7_TV, resized=600, **_TV),
)
