"""MobileNet, the first version: depthwise 3x3 and pointwise 1x1 convolutions.

Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", table 1.

* `mobilenet_v1` pads and normalises as the authors' TensorFlow code, `mobilenet_v1_timm` as timm, which has weights.
* Table 1 prints stride 2 for the last depthwise convolution, but its map stays 7x7: stride 1 here, as in the code.
* The paper's text has ReLU, the authors' code and weights have ReLU6: ReLU6 here, ReLU as an argument.
* The paper names no momentum for batch normalisation: 0.99 here.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import depthwise_conv
from kerasnets.blocks.head import dropout_head
from kerasnets.blocks.inverted_residual import Source, conv_unit, finish, tensorflow
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    "Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam",
    2017,
    "https://arxiv.org/abs/1704.04861",
)
PIXELS = Preprocessing(224, 0.875, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TIMM_PIXELS = Preprocessing(224, 0.875, "bicubic", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Source; table 1: filters of the stem, (filters, blocks) of each stage. All but the first begin with stride 2."""

    source: Source
    stem: int = 32
    stages: tuple[tuple[int, int], ...] = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))


def mobilenet_v1(x, spec: Spec, *, alpha=1.0, hidden_activation="relu6"):
    """A 3x3 convolution, then pairs of depthwise and pointwise convolution with batch normalisation and activation.

    alpha: width multiplier above 0; the paper has 1, 0.75, 0.5 and 0.25.
    hidden_activation: activation of all layers; `"relu6"` as in the authors' code, `"relu"` as in the paper's text.
    """
    if alpha <= 0:
        raise ValueError(f"`alpha` should be above 0. Received: alpha={alpha!r}")
    source = spec.source
    x = conv_unit(x, int(spec.stem * alpha), 3, 2, source, names=source.stem, activation=hidden_activation)
    for stage, (filters, blocks) in enumerate(spec.stages):
        for index in range(blocks):
            name, stride = source.block.format(stage=stage, index=index), 2 if stage and not index else 1
            x = depthwise_conv(x, 3, stride, padding=source.padding, name=f"{name}.conv_dw")
            x = finish(x, source, f"{name}.bn1", hidden_activation)
            names = (f"{name}.conv_pw", f"{name}.bn2")
            x = conv_unit(x, int(filters * alpha), 1, 1, source, names=names, activation=hidden_activation)
    return x


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="mobilenet_v1",
        summary="13 pairs of depthwise and pointwise convolution, of adjustable width",
        paper=PAPER,
        body=mobilenet_v1,
        head=dropout_head(1e-3),  # as in the authors' code
        spec=spec,
        feature_shapes={
            "conv_stem": (112, 112, 32),
            "blocks.0.0.bn2.act": (112, 112, 64),
            "blocks.1.1.bn2.act": (56, 56, 128),
            "blocks.2.1.bn2.act": (28, 28, 256),
            "blocks.3.5.bn2.act": (14, 14, 512),
            "blocks.4.1.bn2.act": (7, 7, 1024),
        },
        **columns,
    )


_RELU6 = "ReLU6, as in the authors' code and weights (paper's text: ReLU, here `hidden_activation='relu'`)"
_STRIDE = "the last depthwise convolution has stride 1 (table 1: 2, although the map stays 7x7)"
_PADDING = "symmetric padding where the stride is 2 (authors' code: more zeros at the bottom and right)"
_EPSILON = "batch normalisation with epsilon 1e-5 (authors' code: 1e-3)"

register(
    _variant(
        "mobilenet_v1",
        "MobileNetV1",
        Spec(tensorflow(momentum=0.99)),
        preprocessing=PIXELS,
        differences=(_RELU6, _STRIDE),
    ),
    _variant(
        "mobilenet_v1_timm",
        "MobileNetV1Timm",
        Spec(tensorflow(momentum=0.9)._replace(padding=None, epsilon=1e-5)),
        preprocessing=TIMM_PIXELS,
        differences=(_RELU6, _STRIDE, _PADDING, _EPSILON),
    ),
)
