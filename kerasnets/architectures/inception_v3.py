"""Inception v3.

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2015, "Rethinking the Inception Architecture for Computer Vision": table 1,
figures 5 to 7 (modules), figure 8 (auxiliary head), figure 10 (reductions).

* `inception_v3` is the network of the authors' released code (TF-slim), for which all public weights were made and
  which reaches the paper's figures. Its stem has a 1x1 convolution to 80 channels and a 3x3 to 192, where table 1 has
  3x3 convolutions to 80, 192 and 288. So its first module starts from 192 channels.
* In the released code batch normalisation shifts and does not scale. `inception_v3_torchvision` has both, for PyTorch
  weights.
* Average pooling at the border: TensorFlow leaves the padding out of the mean, torchvision counts it as zeros.
* Batch normalisation's moving averages decay by 0.99 in each step, as in keras.applications. The released code has
  0.9997, with which they are right only after tens of thousands of steps.
* The auxiliary loss counts 0.4 in the released code. This loss weight is in the recipe, as are label smoothing (0.1)
  and RMSProp.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks import inception
from kerasnets.blocks.head import dropout_head
from kerasnets.blocks.inception import average_pool, chain, join, max_pool, unit
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Rethinking the Inception Architecture for Computer Vision",
    "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
    2015,
    "https://arxiv.org/abs/1512.00567",
)
PIXELS = Preprocessing(299, 0.875, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Filters that change from module to module: pool projection of A, 7x7 convolutions of B; number of modules C.

    The columns after these are explained in kerasnets/blocks/inception.py.
    """

    a_pool: tuple[int, ...] = (32, 64, 64)
    b_filters: tuple[int, ...] = (128, 160, 160, 192)
    c_modules: int = 2
    gamma: bool = False
    momentum: float = 0.99
    counts_padding: bool = False
    initializer: str = "he_normal"
    width: float = 1.0


def inception_v3(x, spec: Spec):
    """Table 1: stem, modules A on 35x35, B on 17x17, C on 8x8, a reduction before B and before C."""
    x = stem(x, spec)
    for letter, pool in zip("bcdefgh", spec.a_pool, strict=False):
        x = inception_a(x, spec, pool, name=f"Mixed_5{letter}")
    x = reduction_a(x, spec, name="Mixed_6a")
    for letter, filters in zip("bcdefgh", spec.b_filters, strict=False):
        x = inception_b(x, spec, filters, name=f"Mixed_6{letter}")
    x = reduction_b(x, spec, name="Mixed_7a")
    for letter in "bcdefgh"[: spec.c_modules]:
        x = inception_c(x, spec, name=f"Mixed_7{letter}")
    return x


def stem(x, spec):
    """299x299x3 -> 35x35x192."""
    x = unit(x, spec, 32, 3, 2, name="Conv2d_1a_3x3")
    x = unit(x, spec, 32, 3, 1, "valid", name="Conv2d_2a_3x3")
    x = unit(x, spec, 64, 3, name="Conv2d_2b_3x3")
    x = max_pool(x, name="maxpool1")
    x = unit(x, spec, 80, 1, name="Conv2d_3b_1x1")
    x = unit(x, spec, 192, 3, 1, "valid", name="Conv2d_4a_3x3")
    return max_pool(x, name="maxpool2")


def inception_a(x, spec, pool_filters, *, name):
    """Figure 5: a 5x5 convolution, and the same as two 3x3."""
    one = unit(x, spec, 64, name=f"{name}.branch1x1")
    five = chain(x, spec, (48, 1), (64, 5), name=f"{name}.branch5x5", numbered="_1")
    double = chain(x, spec, (64, 1), (96, 3), (96, 3), name=f"{name}.branch3x3dbl", numbered="_1")
    pool = average_pool(x, spec, name=f"{name}.avgpool")
    pool = unit(pool, spec, pool_filters, name=f"{name}.branch_pool")
    return join(one, five, double, pool, name=name)


def reduction_a(x, spec, *, name):
    """Figure 10: 35x35 to 17x17 without a bottleneck."""
    three = unit(x, spec, 384, 3, 2, name=f"{name}.branch3x3")
    double = chain(x, spec, (64, 1), (96, 3), (96, 3, 2), name=f"{name}.branch3x3dbl", numbered="_1")
    return join(three, double, max_pool(x, name=f"{name}.maxpool"), name=name)


def inception_b(x, spec, filters, *, name):
    """Figure 6 with n = 7: 7x7 convolutions factorised into 1x7 and 7x1, with `filters` filters."""
    row, column = (1, 7), (7, 1)
    one = unit(x, spec, 192, name=f"{name}.branch1x1")
    seven = chain(x, spec, (filters, 1), (filters, row), (192, column), name=f"{name}.branch7x7", numbered="_1")
    double = ((filters, 1), (filters, column), (filters, row), (filters, column), (192, row))
    double = chain(x, spec, *double, name=f"{name}.branch7x7dbl", numbered="_1")
    pool = average_pool(x, spec, name=f"{name}.avgpool")
    pool = unit(pool, spec, 192, name=f"{name}.branch_pool")
    return join(one, seven, double, pool, name=name)


def reduction_b(x, spec, *, name):
    """17x17 to 8x8."""
    three = chain(x, spec, (192, 1), (320, 3, 2), name=f"{name}.branch3x3", numbered="_1")
    seven = ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2))
    seven = chain(x, spec, *seven, name=f"{name}.branch7x7x3", numbered="_1")
    return join(three, seven, max_pool(x, name=f"{name}.maxpool"), name=name)


def inception_c(x, spec, *, name):
    """Figure 7: the last convolution split into 1x3 and 3x1 side by side, for many channels on the smallest map."""
    one = unit(x, spec, 320, name=f"{name}.branch1x1")
    three = unit(x, spec, 384, name=f"{name}.branch3x3_1")
    three = _split(three, spec, name=f"{name}.branch3x3_2")
    double = unit(x, spec, 448, name=f"{name}.branch3x3dbl_1")
    double = unit(double, spec, 384, 3, name=f"{name}.branch3x3dbl_2")
    double = _split(double, spec, name=f"{name}.branch3x3dbl_3")
    pool = average_pool(x, spec, name=f"{name}.avgpool")
    pool = unit(pool, spec, 192, name=f"{name}.branch_pool")
    return join(one, three, double, pool, name=name)


def _split(x, spec, *, name):
    return join(unit(x, spec, 384, (1, 3), name=f"{name}a"), unit(x, spec, 384, (3, 1), name=f"{name}b"), name=name)


def auxiliary_head(x, name, classes, activation, spec):
    """The head of kerasnets/blocks/inception.py; its last two layers start with small weights in Inception v3."""
    normal = keras.initializers.TruncatedNormal
    initializers = normal(stddev=0.01), normal(stddev=0.001)
    return inception.auxiliary_head(x, name, classes, activation, spec, initializers)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="inception_v3",
        paper=PAPER,
        body=inception_v3,
        spec=spec,
        input_shape=(299, 299, 3),
        min_size=75,
        aux={"aux1": "Mixed_6e"},
        aux_head=auxiliary_head,
        preprocessing=PIXELS,
        feature_shapes={
            "Conv2d_1a_3x3": (149, 149, 32),
            "Conv2d_2a_3x3": (147, 147, 32),
            "Conv2d_2b_3x3": (147, 147, 64),
            "maxpool1": (73, 73, 64),
            "Conv2d_4a_3x3": (71, 71, 192),
            "Mixed_5d": (35, 35, 288),
            "Mixed_6e": (17, 17, 768),
            "Mixed_7a": (8, 8, 1280),
            "Mixed_7c": (8, 8, 2048),
        },
        **columns,
    )


_STEM = "the released code's stem (paper, table 1: 3x3 convolutions to 80, 192 and 288 channels)"
_MOMENTUM = "momentum 0.99 in batch normalisation (released code: 0.9997)"

register(
    _variant(
        "inception_v3",
        "InceptionV3",
        Spec(),
        summary="Inception v3 as its authors released it",
        head=dropout_head(0.2),
        differences=(_STEM, _MOMENTUM),
    ),
    _variant(
        "inception_v3_torchvision",
        "InceptionV3Torchvision",
        Spec(gamma=True, momentum=0.9, counts_padding=True),
        summary="Inception v3 as in torchvision",
        head=dropout_head(0.5),
        differences=(
            _STEM,
            "batch normalisation has a scale (released code: only an offset)",
            "average pooling inside the modules counts its padding as zeros (released code: leaves it out)",
            "dropout 0.5 (released code: 0.2)",
        ),
    ),
)
