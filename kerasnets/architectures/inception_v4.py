"""Inception v4.

Szegedy, Ioffe, Vanhoucke and Alemi 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning": figure 3 (stem), figures 4 to 6 (modules A, B, C), figures 7 and 8 (reductions A, B), figure 9 (the whole
network). The residual networks of the same paper are in inception_resnet.py.

* In the authors' released code (TF-slim) batch normalisation shifts and does not scale. `inception_v4_timm` scales as
  well, for PyTorch weights.
* The released code has an auxiliary head behind the last module B, as Inception v3 has; the paper does not draw it.
* Where a 1xn and an nx1 convolution follow each other, their order is that of the released code and of all weight
  files.
* Batch normalisation's moving averages decay by 0.99 in each step, as in keras.applications. The released code has
  0.9997, with which they are right only after tens of thousands of steps.
"""

from itertools import count
from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.head import dropout_head
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
TIMM_PIXELS = Preprocessing(299, 0.875, "bicubic", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Numbers of modules A, B and C; the columns after it are explained in kerasnets/blocks/inception.py."""

    modules: tuple[int, int, int] = (4, 7, 3)
    gamma: bool = False
    momentum: float = 0.99
    counts_padding: bool = False
    initializer: str = "he_normal"
    width: float = 1.0


def inception_v4(x, spec: Spec):
    """Figure 9: stem, modules A on 35x35, B on 17x17, C on 8x8, a reduction before B and before C."""
    a, b, c = spec.modules
    x = inception_v4_stem(x, spec, name="features")
    names = (f"features.{number}" for number in count(6))
    for _ in range(a):
        x = inception_a(x, spec, name=next(names))
    x = reduction_a(x, spec, (192, 224, 256, 384), name=next(names))
    for _ in range(b):
        x = inception_b(x, spec, name=next(names))
    x = reduction_b(x, spec, name=next(names))
    for _ in range(c):
        x = inception_c(x, spec, name=next(names))
    return x


def inception_a(x, spec, *, name):
    """Figure 4, on 35x35x384."""
    one = unit(x, spec, 96, name=f"{name}.branch0")
    three = chain(x, spec, (64, 1), (96, 3), name=f"{name}.branch1")
    double = chain(x, spec, (64, 1), (96, 3), (96, 3), name=f"{name}.branch2")
    pool = average_pool(x, spec, name=f"{name}.branch3.0")
    return join(one, three, double, unit(pool, spec, 96, name=f"{name}.branch3.1"), name=name)


def inception_b(x, spec, *, name):
    """Figure 5, on 17x17x1024."""
    row, column = (1, 7), (7, 1)
    one = unit(x, spec, 384, name=f"{name}.branch0")
    seven = chain(x, spec, (192, 1), (224, row), (256, column), name=f"{name}.branch1")
    double = ((192, 1), (192, column), (224, row), (224, column), (256, row))
    double = chain(x, spec, *double, name=f"{name}.branch2")
    pool = average_pool(x, spec, name=f"{name}.branch3.0")
    return join(one, seven, double, unit(pool, spec, 128, name=f"{name}.branch3.1"), name=name)


def reduction_b(x, spec, *, name):
    """Figure 8: 17x17x1024 -> 8x8x1536."""
    three = chain(x, spec, (192, 1), (192, 3, 2), name=f"{name}.branch0")
    seven = chain(x, spec, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2), name=f"{name}.branch1")
    return join(three, seven, max_pool(x, name=f"{name}.branch2"), name=name)


def inception_c(x, spec, *, name):
    """Figure 6, on 8x8x1536."""
    one = unit(x, spec, 256, name=f"{name}.branch0")
    three = unit(x, spec, 384, name=f"{name}.branch1_0")
    three = _split(three, spec, name=f"{name}.branch1_1")
    double = unit(x, spec, 384, name=f"{name}.branch2_0")
    double = unit(double, spec, 448, (3, 1), name=f"{name}.branch2_1")
    double = unit(double, spec, 512, (1, 3), name=f"{name}.branch2_2")
    double = _split(double, spec, name=f"{name}.branch2_3")
    pool = average_pool(x, spec, name=f"{name}.branch3.0")
    return join(one, three, double, unit(pool, spec, 256, name=f"{name}.branch3.1"), name=name)


def _split(x, spec, *, name):
    return join(unit(x, spec, 256, (1, 3), name=f"{name}a"), unit(x, spec, 256, (3, 1), name=f"{name}b"), name=name)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="inception_v4",
        paper=PAPER,
        body=inception_v4,
        spec=spec,
        input_shape=(299, 299, 3),
        min_size=75,
        aux={"aux1": "features.17"},
        aux_head=auxiliary_head,
        feature_shapes={
            "features.0": (149, 149, 32),
            "features.2": (147, 147, 64),
            "features.3": (73, 73, 160),
            "features.4": (71, 71, 192),
            "features.5": (35, 35, 384),
            "features.9": (35, 35, 384),
            "features.10": (17, 17, 1024),
            "features.17": (17, 17, 1024),
            "features.18": (8, 8, 1536),
            "features.21": (8, 8, 1536),
        },
        **columns,
    )


register(
    _variant(
        "inception_v4",
        "InceptionV4",
        Spec(),
        summary="Inception v4 as its authors released it",
        head=dropout_head(0.2),
        preprocessing=PIXELS,
        differences=("momentum 0.99 in batch normalisation (released code: 0.9997)",),
    ),
    _variant(
        "inception_v4_timm",
        "InceptionV4Timm",
        Spec(gamma=True, momentum=0.9),
        summary="Inception v4 as in timm",
        preprocessing=TIMM_PIXELS,
        differences=(
            "batch normalisation has a scale (released code: only an offset)",
            "no dropout before the classifier by default (paper: 0.2)",
        ),
    ),
)
