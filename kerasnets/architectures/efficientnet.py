"""EfficientNet, and the Lite networks of the same authors.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1; the scaled
networks and the Lite ones are those of the authors' code (tensorflow/tpu, models/official/efficientnet).

* Compound scaling, equation 3: depth 1.2^phi, width 1.1^phi, resolution 224 * 1.15^phi. The released B1 to B7 round
  these (phi = 0.5, 1, 2, ...) and from B4 on go beyond them; `SCALES` has the released coefficients. Every network is
  computed from them: widths to the nearest multiple of 8 that is not below nine tenths, repeats upwards.
* Rows without suffix pad as TensorFlow and normalise with epsilon 1e-3, as the authors; their layers are called as in
  timm, whose `tf_efficientnet_*` networks hold the authors' weights. The `_torchvision` rows pad symmetrically.
* Squeeze-and-excitation reduces to a quarter of the block's input channels, not of the expanded ones.
* Stochastic depth ("drop connect") is drawn for every image and grows by block, to 0.2 in the code (first version of
  the text: 0.3).
* Lite: no squeeze-and-excitation, ReLU6 for swish; stem, last convolution, first and last stage are not scaled.
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

# Name: (width coefficient, depth coefficient, resolution, dropout).
SCALES = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3),
    "lite4": (1.4, 1.8, 300, 0.3),
}
# (Shorter side after resizing, size of the crop) of torchvision's weights.
TORCHVISION_SIZES = {
    "b0": (256, 224),
    "b1": (256, 240),
    "b2": (288, 288),
    "b3": (320, 300),
    "b4": (384, 380),
    "b5": (456, 456),
    "b6": (528, 528),
    "b7": (600, 600),
}


class Spec(NamedTuple):
    """Scaling coefficients, and table 1: (kernel, expansion, filters, repeats, stride) of each stage of B0.

    `last` names the last convolution and its normalisation; `lite` is the other kind of network.
    """

    source: Source
    width: float
    depth: float
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
    """A 3x3 convolution, seven stages of inverted residuals, and a 1x1 convolution.

    stochastic_depth: how often training skips the last block of an image, 0 to 1; earlier blocks proportionally less.
    """
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
    """The blocks of table 1 after compound scaling; `channels` is the width of the stem."""
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

    dropout: share of the pooled features that training drops, 0 to 1; `None` is the authors' for this row, 0.2 to 0.5.
    """
    dropout = spec.dropout if dropout is None else dropout
    x = global_average_pool(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    uniform = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
    return output(x, classes, activation, initializer=uniform)


# Where the maps of table 1 end, for a 224x224 input; the features of torchvision count from 0 (stem) to 8.
TABLE_1 = {
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
TORCHVISION_NAMES = ("0.0", "1.0.block.2.1", "2.1", "3.1", "4.2", "5.2", "6.3", "7.0.block.3.1", "8.0")


def _row(scale, spec, suffix="", **fields):
    name = f"efficientnet_{scale}{suffix}"
    return Variant(
        name=name,
        python_name=f"EfficientNet{scale.capitalize()}{suffix.removeprefix('_').capitalize()}",
        family="efficientnet",
        summary=f"the mobile inverted residual network at scale {scale.upper()}",
        paper=PAPER,
        body=efficientnet,
        head=efficientnet_head,
        spec=spec,
        **fields,
    )


def _authors(scale):
    width, depth, size, dropout = SCALES[scale]
    lite = scale.startswith("lite")
    # The authors' code has 127 and 128; the public weights are evaluated with these.
    numbers = {"mean": (127.5,) * 3, "std": (127.5,) * 3} if lite else {}
    left_out = (
        "no squeeze-and-excitation, ReLU6 for swish (paper: B0 to B7 only; this is the authors' network for phones)",
        "stem, last convolution, and the repeats of the first and last stage are not scaled",
    )
    return _row(
        scale,
        Spec(tensorflow(momentum=0.99), width, depth, dropout, lite=lite),
        input_shape=(size, size, 3),
        preprocessing=Preprocessing(size, size / (size + 32), "bicubic", **numbers),
        differences=left_out if lite else (),
        stages=TABLE_1 if scale in ("b0", "lite0") else {},
    )


def _torchvision(scale):
    width, depth, _, dropout = SCALES[scale]
    resized, size = TORCHVISION_SIZES[scale]
    constants = {"epsilon": 1e-3, "momentum": 0.99} if scale in ("b5", "b6", "b7") else {}
    source = torchvision(block="features.{position}.{index}", **constants)
    differences = ["zeros on all sides where the stride is 2 (authors' code: more of them below and on the right)"]
    if not constants:
        differences.append("batch normalisation with epsilon 1e-5 and momentum 0.9 (authors' code: 1e-3 and 0.99)")
    if size != SCALES[scale][2]:
        differences.append(f"{size}x{size} pixels (authors: {SCALES[scale][2]})")
    table = {f"features.{n}": shape for n, shape in zip(TORCHVISION_NAMES, TABLE_1.values(), strict=True)}
    return _row(
        scale,
        Spec(source, width, depth, dropout, ("features.8.0", "features.8.1")),
        "_torchvision",
        input_shape=(size, size, 3),
        preprocessing=Preprocessing(size, size / resized, "bicubic"),
        differences=tuple(differences),
        stages=table if scale == "b0" else {},
    )


register(
    *(_authors(scale) for scale in SCALES),
    *(_torchvision(scale) for scale in TORCHVISION_SIZES),
)
