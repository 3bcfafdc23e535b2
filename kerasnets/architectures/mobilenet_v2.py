"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.

* The width multiplier widens the last convolution but never narrows it (section 4).
* `mobilenet_v2` pads and normalises as the authors' TensorFlow code (momentum 0.997) and has timm's layer names.
* `mobilenet_v2_torchvision` and `mobilenet_v2_timm` are the same network with different layer names.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.head import dropout_head
from kerasnets.blocks.inverted_residual import (
    Block,
    Source,
    conv_unit,
    inverted_residuals,
    round_channels,
    tensorflow,
    torchvision_v2,
)
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    "Sandler, Howard, Zhu, Zhmoginov, Chen",
    2018,
    "https://arxiv.org/abs/1801.04381",
)
PIXELS = Preprocessing(224, 0.875, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Source, names of the last convolution and its normalisation; table 2: (t, c, n, s) of each stage.

    t is the expansion, c the channels, n the number of blocks, s the stride.
    """

    source: Source
    last: tuple[str, str] = ("conv_head", "bn2")
    stem: int = 32
    stages: tuple[tuple[int, int, int, int], ...] = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    features: int = 1280


def mobilenet_v2(x, spec: Spec, *, alpha=1.0):
    """A 3x3 convolution, the blocks of table 2, and a 1x1 convolution.

    alpha: width multiplier above 0; the paper has 0.35 to 1.4.
    """
    if alpha <= 0:
        raise ValueError(f"`alpha` should be above 0. Received: alpha={alpha!r}")
    source = spec.source
    x = conv_unit(x, round_channels(spec.stem * alpha), 3, 2, source, names=source.stem, activation="relu6")
    x = inverted_residuals(x, _blocks(spec, x.shape[-1], alpha), source)
    features = round_channels(spec.features * max(1.0, alpha))
    return conv_unit(x, features, 1, 1, source, names=spec.last, activation="relu6")


def _blocks(spec, width, alpha):
    stages = []
    for expansion, channels, count, stride in spec.stages:
        filters, blocks = round_channels(channels * alpha), []
        for index in range(count):
            blocks.append(Block(3, expansion * width, filters, 0, "relu6", 1 if index else stride))
            width = filters
        stages.append(blocks)
    return stages


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="mobilenet_v2",
        summary="17 inverted residuals with linear bottlenecks, of adjustable width",
        paper=PAPER,
        body=mobilenet_v2,
        head=dropout_head(0.2),  # as in the authors' code
        spec=spec,
        **columns,
    )


_PADDING = "symmetric padding where the stride is 2 (authors' code: more zeros at the bottom and right)"
_EPSILON = "batch normalisation with epsilon 1e-5 (authors' code: 1e-3)"
_SHAPES = {
    "conv_stem": (112, 112, 32),
    "blocks.0.0.bn2": (112, 112, 16),
    "blocks.1.1": (56, 56, 24),
    "blocks.2.2": (28, 28, 32),
    "blocks.3.3": (14, 14, 64),
    "blocks.4.2": (14, 14, 96),
    "blocks.5.2": (7, 7, 160),
    "blocks.6.0.bn3": (7, 7, 320),
    "conv_head": (7, 7, 1280),
}
_TORCHVISION_SHAPES = {
    "features.0.0": (112, 112, 32),
    "features.1.conv.2": (112, 112, 16),
    "features.3": (56, 56, 24),
    "features.6": (28, 28, 32),
    "features.10": (14, 14, 64),
    "features.13": (14, 14, 96),
    "features.16": (7, 7, 160),
    "features.17.conv.3": (7, 7, 320),
    "features.18.0": (7, 7, 1280),
}

register(
    _variant(
        "mobilenet_v2",
        "MobileNetV2",
        Spec(tensorflow(momentum=0.997)),
        preprocessing=PIXELS,
        feature_shapes=_SHAPES,
    ),
    _variant(
        "mobilenet_v2_torchvision",
        "MobileNetV2Torchvision",
        Spec(torchvision_v2(), ("features.18.0", "features.18.1")),
        feature_shapes=_TORCHVISION_SHAPES,
        differences=(_PADDING, _EPSILON),
    ),
    _variant(
        "mobilenet_v2_timm",
        "MobileNetV2Timm",
        Spec(tensorflow(momentum=0.9)._replace(padding=None, epsilon=1e-5)),
        preprocessing=Preprocessing(interpolation="bicubic"),
        feature_shapes=_SHAPES,
        differences=(_PADDING, _EPSILON),
    ),
)
