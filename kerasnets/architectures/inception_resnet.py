"""Inception-ResNet v1 and v2.

Szegedy, Ioffe, Vanhoucke and Alemi 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning": figure 15 (the whole networks), figures 10 to 13 (modules of v1), 16 to 19 (of v2), 14 and 3 (stems), 20
(scaling of residuals), table 1.

* `inception_resnet_v2` is the network that the authors released (TF-slim, and all public weights), and
  `inception_resnet_v2_paper` is the paper's. The paper's has 5, 10 and 5 modules. The released one has 10, 20 and 10,
  the simpler stem of v1 with one Inception module behind it, a last module without scaling and ReLU, and a 1x1
  convolution to 1536 channels at the end.
* The paper prints 1154 and 2048 channels for the last convolutions of modules B and C of v2. Their sums need the
  numbers of channels that the reductions before give, 1152 and 2144.
* The paper scales residuals by 0.1 to 0.3 before adding them. The factors 0.17, 0.10 and 0.20 are from the released
  code.
* In the released code batch normalisation shifts and does not scale. The networks without released code have both, as
  the paper of batch normalisation defines it.
* Batch normalisation's moving averages decay by 0.99 in each step, as in keras.applications. The released code has
  0.9997, with which they are right only after tens of thousands of steps.
"""

import functools
from collections.abc import Callable
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
TIMM_PIXELS = Preprocessing(299, 0.8975, "bicubic", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Stem, end, numbers of modules, and filters of every module's branches.

    `a`: the three convolutions of the longest branch; `b` and `c`: the 1x1 branch, then the three convolutions of the
    other; `reduction_a`: k, l, m, n of table 1; `reduction_b`: what follows the 256 of the second and third branch. The
    columns after `scales` are explained in kerasnets/blocks/inception.py.
    """

    stem: Callable
    released: bool = False
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


def inception_resnet(x, spec: Spec):
    """Figure 15: stem, modules A on 35x35, B on 17x17, C on 8x8, a reduction before B and before C."""
    a, b, c = spec.modules
    x = spec.stem(x, spec)
    for i in range(a):
        x = inception_resnet_a(x, spec, name=f"repeat.{i}")
    x = reduction_a(x, spec, spec.reduction_a, name="mixed_6a")
    for i in range(b):
        x = inception_resnet_b(x, spec, name=f"repeat_1.{i}")
    x = reduction_b(x, spec, name="mixed_7a")
    for i in range(c - spec.released):
        x = inception_resnet_c(x, spec, name=f"repeat_2.{i}")
    if spec.released:
        x = inception_resnet_c(x, spec, last=True, name="block8")
        x = unit(x, spec, 1536, name="conv2d_7b")
    return x


def stem_v1(x, spec):
    """Figure 14: 299x299x3 -> 35x35x256."""
    return unit(_stem(x, spec), spec, 256, 3, 2, name="conv2d_4b")


def stem_released(x, spec):
    """299x299x3 -> 35x35x320: as v1, but ends in max pooling and a module as in Inception v3."""
    x = max_pool(_stem(x, spec), name="maxpool_5a")
    one = unit(x, spec, 96, name="mixed_5b.branch0")
    five = chain(x, spec, (48, 1), (64, 5), name="mixed_5b.branch1")
    double = chain(x, spec, (64, 1), (96, 3), (96, 3), name="mixed_5b.branch2")
    pool = average_pool(x, spec, name="mixed_5b.branch3.0")
    return join(one, five, double, unit(pool, spec, 64, name="mixed_5b.branch3.1"), name="mixed_5b")


def _stem(x, spec):
    x = unit(x, spec, 32, 3, 2, name="conv2d_1a")
    x = unit(x, spec, 32, 3, 1, "valid", name="conv2d_2a")
    x = unit(x, spec, 64, 3, name="conv2d_2b")
    x = max_pool(x, name="maxpool_3a")
    x = unit(x, spec, 80, name="conv2d_3b")
    return unit(x, spec, 192, 3, 1, "valid", name="conv2d_4a")


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
    short, first, second = spec.reduction_b
    one = chain(x, spec, (256, 1), (384, 3, 2), name=f"{name}.branch0")
    three = chain(x, spec, (256, 1), (short, 3, 2), name=f"{name}.branch1")
    double = chain(x, spec, (256, 1), (first, 3), (second, 3, 2), name=f"{name}.branch2")
    return join(one, three, double, max_pool(x, name=f"{name}.branch3"), name=name)


def inception_resnet_c(x, spec, *, name, last=False):
    """Figures 13 and 19, on 8x8. The `last` one of the released network has neither scaling nor ReLU."""
    alone, first, second, third = spec.c
    one = unit(x, spec, alone, name=f"{name}.branch0")
    three = chain(x, spec, (first, 1), (second, (1, 3)), (third, (3, 1)), name=f"{name}.branch1")
    return _add(x, spec, (one, three), None if last else spec.scales[2], name=name)


def _add(x, spec, branches, scale, *, name):
    """Figure 20: a linear 1x1 convolution of the branches, scaled, added, ReLU; `scale=None` only adds it."""
    y = join(*branches, name=f"{name}.concat")
    y = conv(y, x.shape[-1], 1, use_bias=True, initializer=spec.initializer, name=f"{name}.conv2d")
    if scale is None:
        return keras.layers.Add(name=name)([x, y])
    y = keras.layers.Rescaling(scale, name=f"{name}.scale")(y)
    return activate(keras.layers.Add(name=f"{name}.add")([x, y]), name=name)


def _variant(name: str, python_name: str, spec: Spec, *, channels, **columns) -> Variant:
    """`channels` are those of the feature maps at 35x35, 17x17, 8x8, and at the end."""
    a, b, c = spec.modules
    last = "conv2d_7b" if spec.released else f"repeat_2.{c - 1}"
    layers = (f"repeat.{a - 1}", f"repeat_1.{b - 1}", "mixed_7a", last)
    shapes = [(size, size, n) for size, n in zip((35, 17, 8, 8), channels, strict=True)]
    return Variant(
        name=name,
        python_name=python_name,
        family="inception_resnet",
        paper=PAPER,
        body=inception_resnet,
        spec=spec,
        input_shape=(299, 299, 3),
        min_size=75,
        feature_shapes=dict(zip(layers, shapes, strict=True)),
        **{"head": dropout_head(0.2), "preprocessing": PIXELS, **columns},
    )


_MODULES = "10, 20 and 10 modules (paper: 5, 10 and 5)"
_STEM = "the stem of Inception-ResNet v1, then max pooling and one Inception module (paper: the stem of Inception v4)"
_END = "the last module has no scaling and no ReLU, and a 1x1 convolution to 1536 channels follows (not in the paper)"
_MOMENTUM = "momentum 0.99 in batch normalisation (released code: 0.9997)"
_GAMMA = "batch normalisation has a scale (released code: only an offset)"
_DROPOUT = "no dropout before the classifier by default (paper: 0.2)"
_SUMS = "modules B and C end in 1152 and 2144 channels, as the residual sums require (paper: 1154 and 2048)"

_V1 = Spec(
    stem=stem_v1,
    modules=(5, 10, 5),
    a=(32, 32, 32),
    reduction_a=(192, 192, 256, 384),
    b=(128, 128, 128, 128),
    reduction_b=(256, 256, 256),
    c=(192, 192, 192, 192),
    gamma=True,
)
_AUX = {"aux": {"aux1": "repeat_1.19"}, "aux_head": auxiliary_head}

register(
    _variant(
        "inception_resnet_v1",
        "InceptionResNetV1",
        _V1,
        summary="a residual network with the cost of Inception v3",
        channels=(256, 896, 1792, 1792),
    ),
    _variant(
        "inception_resnet_v2",
        "InceptionResNetV2",
        Spec(stem_released, released=True),
        summary="Inception-ResNet v2 as its authors released it",
        channels=(320, 1088, 2080, 1536),
        differences=(_MODULES, _STEM, _END, _MOMENTUM),
        **_AUX,
    ),
    _variant(
        "inception_resnet_v2_timm",
        "InceptionResNetV2Timm",
        Spec(stem_released, released=True, gamma=True, momentum=0.9),
        summary="Inception-ResNet v2 as in timm",
        channels=(320, 1088, 2080, 1536),
        head=pooled_head,
        preprocessing=TIMM_PIXELS,
        differences=(_MODULES, _STEM, _END, _GAMMA, _DROPOUT),
        **_AUX,
    ),
    _variant(
        "inception_resnet_v2_paper",
        "InceptionResNetV2Paper",
        Spec(functools.partial(inception_v4_stem, name="stem"), modules=(5, 10, 5), gamma=True),
        summary="a residual network with the cost of Inception v4, as in the paper",
        channels=(384, 1152, 2144, 2144),
        differences=(_SUMS,),
    ),
)
