"""MobileNetV3: searched blocks, hard swish, squeeze-and-excitation with a hard sigmoid, and a cheap last stage.

Howard et al. 2019, "Searching for MobileNetV3", tables 1 (large) and 2 (small).

The rows without suffix pad and normalise as the authors' TensorFlow code; their layers are called as in timm, whose
`tf_mobilenetv3_*` networks hold the authors' weights.

* Table 2 prints 1280 for the last layer of the small network and squeeze-and-excitation in the convolution to 576
  before it; the released one has 1024 and no such gate, and so has ours.
* The gates of squeeze-and-excitation are a quarter of the expansion, rounded to a multiple of 8, as in the code.
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
HALF = (127.5, 127.5, 127.5)
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
    """A table's rows, and the widths and names of the last convolution and of the dense layer behind the pooling."""

    source: Source
    blocks: tuple[tuple[int, int, int, bool, str, int], ...]
    features: int
    wide: int
    last_names: tuple[str, str]
    wide_name: str = "conv_head"


def mobilenet_v3(x, spec: Spec):
    """A 3x3 convolution, the table's blocks, and a 1x1 convolution."""
    source = spec.source
    x = conv_unit(x, 16, 3, 2, source, names=source.stem, activation=HS)
    blocks = [Block(k, e, c, round_channels(e / 4) if se else 0, nl, s) for k, e, c, se, nl, s in spec.blocks]
    stages = [list(stage) for _, stage in itertools.groupby(blocks, key=lambda block: block.filters)]
    x = inverted_residuals(x, stages, source, gate="hard_sigmoid")
    return conv_unit(x, spec.features, 1, 1, source, names=spec.last_names, activation=HS)


def mobilenet_v3_head(x, spec: Spec, classes, activation, *, dropout=0.2):
    """Global average pooling, a wide layer with hard swish, and the classifier.

    dropout: share of the wide layer's features that training drops, 0 to 1.
    """
    if spec.wide_name == "conv_head":  # timm keeps the authors' 1x1 convolution, torchvision has a dense layer
        x = conv(global_average_pool(x, keepdims=True), spec.wide, 1, use_bias=True, name=spec.wide_name)
        x = keras.layers.Flatten(name="flatten")(x)
    else:
        x = keras.layers.Dense(spec.wide, name=spec.wide_name)(global_average_pool(x))
    x = activate(x, HS, name=f"{spec.wide_name}.act")
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return output(x, classes, activation)


# Where the maps of tables 1 and 2 end, for a 224x224 input.
LARGE_TIMM = {
    "conv_stem": (112, 112, 16),
    "blocks.0.0": (112, 112, 16),
    "blocks.1.1": (56, 56, 24),
    "blocks.2.2": (28, 28, 40),
    "blocks.3.3": (14, 14, 80),
    "blocks.4.1": (14, 14, 112),
    "blocks.5.2": (7, 7, 160),
    "blocks.6.0.conv": (7, 7, 960),
}
SMALL_TIMM = {
    "conv_stem": (112, 112, 16),
    "blocks.0.0.bn2": (56, 56, 16),
    "blocks.1.1": (28, 28, 24),
    "blocks.2.2": (14, 14, 40),
    "blocks.3.1": (14, 14, 48),
    "blocks.4.2": (7, 7, 96),
    "blocks.5.0.conv": (7, 7, 576),
}
LARGE_TORCHVISION = ("0.0", "1", "3", "6", "10", "12", "15", "16.0")
SMALL_TORCHVISION = ("0.0", "1.block.2.1", "3", "6", "8", "11", "12.0")


def _row(size, spec, stages, suffix="", differences=()):
    return Variant(
        name=f"mobilenet_v3_{size}{suffix}",
        python_name=f"MobileNetV3{size.capitalize()}{suffix.removeprefix('_').capitalize()}",
        family="mobilenet_v3",
        summary=f"the {size} of the two searched networks",
        paper=PAPER,
        body=mobilenet_v3,
        head=mobilenet_v3_head,
        spec=spec,
        preprocessing=Preprocessing() if suffix else Preprocessing(mean=HALF, std=HALF),
        stages=stages,
        differences=differences,
    )


def _torchvision_row(size, blocks, widths, stages, names, differences=()):
    number = len(blocks) + 1
    last = (f"features.{number}.0", f"features.{number}.1")
    spec = Spec(torchvision(epsilon=1e-3, momentum=0.99), blocks, *widths, last, "classifier.0")
    stages = {f"features.{name}": shape for name, shape in zip(names, stages.values(), strict=True)}
    padding = "zeros on all sides where the stride is 2 (authors' code: more of them below and on the right)"
    return _row(size, spec, stages, "_torchvision", (*differences, padding))


_1024 = "1024 features before the classifier, as released (table 2: 1280)"
_GATE = "no squeeze-and-excitation in the last convolution, to 576, as released (table 2: with it)"
_AUTHORS = tensorflow(momentum=0.99)

register(
    _row("large", Spec(_AUTHORS, LARGE, 960, 1280, ("blocks.6.0.conv", "blocks.6.0.bn1")), LARGE_TIMM),
    _row(
        "small",
        Spec(_AUTHORS, SMALL, 576, 1024, ("blocks.5.0.conv", "blocks.5.0.bn1")),
        SMALL_TIMM,
        differences=(_1024, _GATE),
    ),
    _torchvision_row("large", LARGE, (960, 1280), LARGE_TIMM, LARGE_TORCHVISION),
    _torchvision_row("small", SMALL, (576, 1024), SMALL_TIMM, SMALL_TORCHVISION, (_1024, _GATE)),
)
