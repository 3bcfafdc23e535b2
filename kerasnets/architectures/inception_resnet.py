"""Inception-ResNet v1 and v2.

Szegedy, Ioffe, Vanhoucke and Alemi 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning": figure 15 (the whole networks), figures 10 to 13 (modules of v1), 16 to 19 (of v2), 14 and 3 (stems), 20
(scaling of residuals), table 1.

* The paper's networks have 5, 10 and 5 modules. What the authors released as Inception-ResNet v2 (TF-slim, and all
  public weights) has 10, 20 and 10, the simpler stem of v1 with one Inception module behind it, a last module without
  scaling and ReLU, and a 1x1 convolution to 1536 channels at the end. `inception_resnet_v2` is the released network,
  `inception_resnet_v2_paper` the paper's.
* The paper prints 1154 and 2048 channels for the last convolutions of modules B and C of v2; a sum needs as many
  channels as the reductions before give, 1152 and 2144.
* The paper scales residuals by 0.1 to 0.3 before adding them; the factors 0.17, 0.10 and 0.20 are the released
  code's.
* In the released code batch normalisation shifts and does not scale; the networks that exist on paper only have it as
  its own paper defines it, with both.
* Batch normalisation's moving averages: the released code forgets 0.03 % a step, which is right after tens of
  thousands of steps; here 1 %, as in keras.applications, so that short trainings evaluate as well as they train.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, conv
from kerasnets.blocks.head import dropout_head, pooled_head
from kerasnets.blocks.inception import (
    auxiliary_head,
    average_pool,
    chain,
    inception_v4_stem,
    join,
    max_pool,
    reduction_a,
    unit,
)
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    "Szegedy, Ioffe, Vanhoucke, Alemi",
    2016,
    "https://arxiv.org/abs/1602.07261",
)
PIXELS = Preprocessing(299, 0.875, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Stem, numbers of modules, filters of every module's branches, then the columns of kerasnets/blocks/inception.py.

    `a`: the three convolutions of the longest branch; `b` and `c`: the 1x1 branch, then the three convolutions of the
    other; `reduction_a`: k, l, m, n of table 1; `reduction_b`: what follows the 256 of the second and third branch.
    """

    stem: str = "released"
    modules: tuple[int, int, int] = (10, 20, 10)
    a: tuple[int, int, int] = (32, 48, 64)
    reduction_a: tuple[int, int, int, int] = (256, 256, 384, 384)
    b: tuple[int, int, int, int] = (192, 128, 160, 192)
    reduction_b: tuple[int, int, int] = (288, 288, 320)
    c: tuple[int, int, int, int] = (192, 192, 224, 256)
    scales: tuple[float, float, float] = (0.17, 0.10, 0.20)
    gamma: bool = False
    momentum: float = 0.99
    counts_padding: bool = False
    initializer: str = "glorot_uniform"
    width: float = 1.0


_V1 = Spec(
    stem="v1",
    modules=(5, 10, 5),
    a=(32, 32, 32),
    reduction_a=(192, 192, 256, 384),
    b=(128, 128, 128, 128),
    reduction_b=(256, 256, 256),
    c=(192, 192, 192, 192),
    gamma=True,
)
_V2 = Spec(stem="v4", modules=(5, 10, 5), gamma=True)
_RELEASED = Spec()


def inception_resnet(x, spec: Spec):
    """Figure 15: stem, modules A on 35x35, B on 17x17, C on 8x8, a reduction before B and before C."""
    a, b, c = spec.modules
    released = spec.stem == "released"
    x = inception_v4_stem(x, spec, name="stem") if spec.stem == "v4" else stem(x, spec)
    for i in range(a):
        x = inception_resnet_a(x, spec, name=f"repeat.{i}")
    x = reduction_a(x, spec, spec.reduction_a, name="mixed_6a")
    for i in range(b):
        x = inception_resnet_b(x, spec, name=f"repeat_1.{i}")
    x = reduction_b(x, spec, name="mixed_7a")
    for i in range(c - released):
        x = inception_resnet_c(x, spec, name=f"repeat_2.{i}")
    if released:
        x = inception_resnet_c(x, spec, last=True, name="block8")
        x = unit(x, spec, 1536, name="conv2d_7b")
    return x


def stem(x, spec):
    """299x299x3 -> 35x35: figure 14, to 256 channels, or the released one.

    The released stem ends in max pooling and a module as of Inception v3, with 320 channels.
    """
    x = unit(x, spec, 32, 3, 2, name="conv2d_1a")
    x = unit(x, spec, 32, 3, 1, "valid", name="conv2d_2a")
    x = unit(x, spec, 64, 3, name="conv2d_2b")
    x = max_pool(x, name="maxpool_3a")
    x = unit(x, spec, 80, name="conv2d_3b")
    x = unit(x, spec, 192, 3, 1, "valid", name="conv2d_4a")
    if spec.stem == "v1":
        return unit(x, spec, 256, 3, 2, name="conv2d_4b")
    x = max_pool(x, name="maxpool_5a")
    one = unit(x, spec, 96, name="mixed_5b.branch0")
    five = chain(x, spec, (48, 1), (64, 5), name="mixed_5b.branch1")
    double = chain(x, spec, (64, 1), (96, 3), (96, 3), name="mixed_5b.branch2")
    pool = average_pool(x, spec, name="mixed_5b.branch3.0")
    return join(one, five, double, unit(pool, spec, 64, name="mixed_5b.branch3.1"), name="mixed_5b")


def inception_resnet_a(x, spec, *, name):
    """Figures 10 and 16, on 35x35."""
    first, second, third = spec.a
    one = unit(x, spec, 32, name=f"{name}.branch0")
    three = chain(x, spec, (32, 1), (32, 3), name=f"{name}.branch1")
    double = chain(x, spec, (first, 1), (second, 3), (third, 3), name=f"{name}.branch2")
    return _add(x, spec, (one, three, double), spec.scales[0], name=name)


def inception_resnet_b(x, spec, *, name):
    """Figures 11 and 17, on 17x17."""
    alone, first, second, third = spec.b
    one = unit(x, spec, alone, name=f"{name}.branch0")
    seven = chain(x, spec, (first, 1), (second, (1, 7)), (third, (7, 1)), name=f"{name}.branch1")
    return _add(x, spec, (one, seven), spec.scales[1], name=name)


def reduction_b(x, spec, *, name):
    """Figures 12 and 18: 17x17 -> 8x8."""
    second, middle, third = spec.reduction_b
    one = chain(x, spec, (256, 1), (384, 3, 2), name=f"{name}.branch0")
    three = chain(x, spec, (256, 1), (second, 3, 2), name=f"{name}.branch1")
    double = chain(x, spec, (256, 1), (middle, 3), (third, 3, 2), name=f"{name}.branch2")
    return join(one, three, double, max_pool(x, name=f"{name}.branch3"), name=name)


def inception_resnet_c(x, spec, *, name, last=False):
    """Figures 13 and 19, on 8x8; the `last` one of the released network is neither scaled nor rectified."""
    alone, first, second, third = spec.c
    one = unit(x, spec, alone, name=f"{name}.branch0")
    three = chain(x, spec, (first, 1), (second, (1, 3)), (third, (3, 1)), name=f"{name}.branch1")
    return _add(x, spec, (one, three), None if last else spec.scales[2], name=name)


def _add(x, spec, branches, scale, *, name):
    """Figure 20: a linear 1x1 convolution of the branches, scaled, added, ReLU; without `scale` only added."""
    y = join(*branches, name=f"{name}.concat")
    y = conv(y, x.shape[-1], 1, use_bias=True, initializer=spec.initializer, name=f"{name}.conv2d")
    if scale is None:
        return keras.layers.Add(name=name)([x, y])
    y = keras.layers.Rescaling(scale, name=f"{name}.scale")(y)
    return activate(keras.layers.Add(name=f"{name}.add")([x, y]), name=name)


def _row(name, python_name, summary, spec, channels, **columns):
    """`channels` are those of the maps at 35x35, 17x17, 8x8."""
    a, b, c = spec.modules
    last = "conv2d_7b" if spec.stem == "released" else f"repeat_2.{c - 1}"
    outputs = (f"repeat.{a - 1}", f"repeat_1.{b - 1}", "mixed_7a", last)
    sizes = (35, 17, 8, 8)
    return Variant(
        name=name,
        python_name=python_name,
        family="inception_resnet",
        summary=summary,
        paper=PAPER,
        body=inception_resnet,
        spec=spec,
        input_shape=(299, 299, 3),
        min_size=75,
        stages={layer: (size, size, wide) for layer, size, wide in zip(outputs, sizes, channels, strict=True)},
        **{"head": dropout_head(0.2), "preprocessing": PIXELS, **columns},
    )


_AUX = {"aux": {"aux1": "repeat_1.19"}, "aux_head": auxiliary_head}
_RELEASE = (
    "10, 20 and 10 modules (paper: 5, 10 and 5)",
    "the stem of Inception-ResNet v1, then max pooling and one Inception module (paper: the stem of Inception v4)",
    "the last module is neither scaled nor rectified, and a 1x1 convolution to 1536 channels follows (paper: neither)",
)

register(
    _row(
        "inception_resnet_v1",
        "InceptionResNetV1",
        "the residual network as costly as Inception v3",
        _V1,
        (256, 896, 1792, 1792),
    ),
    _row(
        "inception_resnet_v2",
        "InceptionResNetV2",
        "Inception-ResNet v2 as its authors released it",
        _RELEASED,
        (320, 1088, 2080, 1536),
        differences=(*_RELEASE, "batch normalisation's moving averages decay by 0.99 a step (released code: 0.9997)"),
        **_AUX,
    ),
    _row(
        "inception_resnet_v2_timm",
        "InceptionResNetV2Timm",
        "Inception-ResNet v2 as timm has it",
        _RELEASED._replace(gamma=True, momentum=0.9),
        (320, 1088, 2080, 1536),
        head=pooled_head,
        preprocessing=Preprocessing(299, 0.8975, "bicubic", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
        differences=(
            *_RELEASE,
            "batch normalisation scales as well (released code: shifts only)",
            "no dropout before the classifier unless asked for (paper: 0.2)",
        ),
        **_AUX,
    ),
    _row(
        "inception_resnet_v2_paper",
        "InceptionResNetV2Paper",
        "the residual network as costly as Inception v4, as the paper has it",
        _V2,
        (384, 1152, 2144, 2144),
        differences=("modules B and C end in 1152 and 2144 channels, which the sums need (printed: 1154 and 2048)",),
    ),
)
