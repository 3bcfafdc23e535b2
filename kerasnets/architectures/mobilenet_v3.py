"""MobileNetV3: searched blocks, hard swish, squeeze-and-excitation with a hard sigmoid, and a cheap last stage.

Howard et al. 2019, "Searching for MobileNetV3", tables 1 (large) and 2 (small).

* `mobilenet_v3_large` and `mobilenet_v3_small` pad and normalise as the authors' TensorFlow code. Their layer names are
  those of timm, whose `tf_mobilenetv3_*` networks have the authors' weights.
* Table 2 prints 1280 features for the last layer of the small network, and squeeze-and-excitation in the convolution to
  576 before it. The released network and ours have 1024 features and no squeeze-and-excitation there.
* Squeeze-and-excitation reduces to a quarter of the expansion, rounded to a multiple of 8, as in the code.
"""

import itertools
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, conv, global_average_pool
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
    "Searching for MobileNetV3",
    "Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam",
    2019,
    "https://arxiv.org/abs/1905.02244",
)
PIXELS = Preprocessing(224, 0.875, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
RE, HS = "relu", "hard_silu"
# Columns of tables 1 and 2: kernel, expansion, output channels, squeeze-and-excitation, activation, stride.
LARGE = (
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2),
    (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1),
    (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2),
    (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1),
    (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2),
    (5, 960, 160, True, HS, 1),
    (5, 960, 160, True, HS, 1),
)
SMALL = (
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2),
    (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1),
    (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1),
    (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2),
    (5, 576, 96, True, HS, 1),
    (5, 576, 96, True, HS, 1),
)


class Spec(NamedTuple):
    """Source, table 1 or 2, widths of the last convolution and of the layer behind the pooling, names of the former."""

    source: Source
    blocks: tuple[tuple[int, int, int, bool, str, int], ...]
    features: int
    wide: int
    last_names: tuple[str, str]


def mobilenet_v3(x, spec: Spec):
    """A 3x3 convolution, the blocks of table 1 or 2, and a 1x1 convolution."""
    source = spec.source
    x = conv_unit(x, 16, 3, 2, source, names=source.stem, activation=HS)
    blocks = [Block(k, e, c, round_channels(e / 4) if se else 0, nl, s) for k, e, c, se, nl, s in spec.blocks]
    stages = [list(stage) for _, stage in itertools.groupby(blocks, key=lambda block: block.filters)]
    x = inverted_residuals(x, stages, source, gate="hard_sigmoid")
    return conv_unit(x, spec.features, 1, 1, source, names=spec.last_names, activation=HS)


def mobilenet_v3_head(x, spec: Spec, classes, activation, *, dropout=0.2):
    """Global average pooling, a 1x1 convolution with hard swish, and the classifier."""
    x = conv(global_average_pool(x, keepdims=True), spec.wide, 1, use_bias=True, name="conv_head")
    x = keras.layers.Flatten(name="flatten")(x)
    return _classifier(activate(x, HS, name="conv_head.act"), classes, activation, dropout)


def torchvision_head(x, spec: Spec, classes, activation, *, dropout=0.2):
    """The same with a dense layer in place of the convolution."""
    x = keras.layers.Dense(spec.wide, name="classifier.0")(global_average_pool(x))
    return _classifier(activate(x, HS, name="classifier.0.act"), classes, activation, dropout)


def _classifier(x, classes, activation, dropout):
    x = keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return output(x, classes, activation)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name, python_name=python_name, family="mobilenet_v3", paper=PAPER, body=mobilenet_v3, spec=spec, **columns
    )


_FEATURES = "1024 features before the classifier, as released (table 2: 1280)"
_GATE = "no squeeze-and-excitation in the last convolution (576 channels), as released (table 2: with it)"
_PADDING = "symmetric padding where the stride is 2 (authors' code: more zeros at the bottom and right)"
_AUTHORS, _TORCHVISION = tensorflow(momentum=0.99), torchvision(epsilon=1e-3, momentum=0.99)

register(
    _variant(
        "mobilenet_v3_large",
        "MobileNetV3Large",
        Spec(_AUTHORS, LARGE, 960, 1280, ("blocks.6.0.conv", "blocks.6.0.bn1")),
        summary="the large network found by search",
        head=mobilenet_v3_head,
        preprocessing=PIXELS,
        feature_shapes={
            "conv_stem": (112, 112, 16),
            "blocks.0.0": (112, 112, 16),
            "blocks.1.1": (56, 56, 24),
            "blocks.2.2": (28, 28, 40),
            "blocks.3.3": (14, 14, 80),
            "blocks.4.1": (14, 14, 112),
            "blocks.5.2": (7, 7, 160),
            "blocks.6.0.conv": (7, 7, 960),
        },
    ),
    _variant(
        "mobilenet_v3_small",
        "MobileNetV3Small",
        Spec(_AUTHORS, SMALL, 576, 1024, ("blocks.5.0.conv", "blocks.5.0.bn1")),
        summary="the small network found by search",
        head=mobilenet_v3_head,
        preprocessing=PIXELS,
        feature_shapes={
            "conv_stem": (112, 112, 16),
            "blocks.0.0.bn2": (56, 56, 16),
            "blocks.1.1": (28, 28, 24),
            "blocks.2.2": (14, 14, 40),
            "blocks.3.1": (14, 14, 48),
            "blocks.4.2": (7, 7, 96),
            "blocks.5.0.conv": (7, 7, 576),
        },
        differences=(_FEATURES, _GATE),
    ),
    _variant(
        "mobilenet_v3_large_torchvision",
        "MobileNetV3LargeTorchvision",
        Spec(_TORCHVISION, LARGE, 960, 1280, ("features.16.0", "features.16.1")),
        summary="the large network found by search",
        head=torchvision_head,
        feature_shapes={
            "features.0.0": (112, 112, 16),
            "features.1": (112, 112, 16),
            "features.3": (56, 56, 24),
            "features.6": (28, 28, 40),
            "features.10": (14, 14, 80),
            "features.12": (14, 14, 112),
            "features.15": (7, 7, 160),
            "features.16.0": (7, 7, 960),
        },
        differences=(_PADDING,),
    ),
    _variant(
        "mobilenet_v3_small_torchvision",
        "MobileNetV3SmallTorchvision",
        Spec(_TORCHVISION, SMALL, 576, 1024, ("features.12.0", "features.12.1")),
        summary="the small network found by search",
        head=torchvision_head,
        feature_shapes={
            "features.0.0": (112, 112, 16),
            "features.1.block.2.1": (56, 56, 16),
            "features.3": (28, 28, 24),
            "features.6": (14, 14, 40),
            "features.8": (14, 14, 48),
            "features.11": (7, 7, 96),
            "features.12.0": (7, 7, 576),
        },
        differences=(_FEATURES, _GATE, _PADDING),
    ),
)
