"""Xception, Inception taken to its extreme: one channel a branch.

Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions": figure 5 and section 4.

* A separable convolution is a depthwise 3x3 and a pointwise 1x1 convolution with nothing between them (figure 10: an
  activation there hurts), then batch normalisation.
* `xception` pads as the author's code, keras.applications: TensorFlow's "same". `xception_timm` is the PyTorch port. It
  pads max pooling on both sides, which shifts the windows on maps of even size (here 74x74). Its batch normalisation
  has epsilon 1e-5 (author's code: 1e-3).
* Layer names are those of the PyTorch port in both variants.
"""

from itertools import count
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, depthwise_conv
from kerasnets.blocks.head import dropout_head
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Xception: Deep Learning with Depthwise Separable Convolutions",
    "Chollet",
    2016,
    "https://arxiv.org/abs/1610.02357",
)
PIXELS = Preprocessing(299, 0.875, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
TIMM_PIXELS = Preprocessing(299, 0.8975, "bicubic", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Spec(NamedTuple):
    """Figure 5: filters of the stem and the entry flow, modules of the middle flow, filters of the exit flow.

    Then come the constants of batch normalisation, whether max pooling pads on both sides, and whether a separable
    convolution begins with its pointwise half, as Inception does (section 1.2).
    """

    stem: tuple[int, int] = (32, 64)
    entry: tuple[int, ...] = (128, 256, 728)
    middle: int = 8
    exit: tuple[int, ...] = (1024, 1536, 2048)
    epsilon: float = 1e-3
    momentum: float = 0.99
    symmetric_pool: bool = False
    pointwise_first: bool = False


def xception(x, spec: Spec):
    """Figure 5: entry flow to 19x19x728, middle flow of eight modules, exit flow to 10x10x2048."""
    for i, (filters, stride) in enumerate(zip(spec.stem, (2, 1), strict=True), 1):
        x = conv(x, filters, 3, stride, padding="valid", initializer="glorot_uniform", name=f"conv{i}")
        x = activate(_normalise(x, spec, name=f"bn{i}"), name=f"act{i}")
    names = (f"block{number}" for number in count(1))
    for i, filters in enumerate(spec.entry):
        x = module(x, spec, (filters, filters), stride=2, first_relu=i > 0, name=next(names))
    wide = spec.entry[-1]
    for _ in range(spec.middle):
        x = module(x, spec, (wide, wide, wide), name=next(names))
    x = module(x, spec, (wide, spec.exit[0]), stride=2, name=next(names))
    for i, filters in enumerate(spec.exit[1:], 3):
        x = _separable(x, spec, filters, name=f"conv{i}")
        x = activate(_normalise(x, spec, name=f"bn{i}"), name=f"act{i}")
    return x


def module(x, spec, filters, *, name, stride=1, first_relu=True):
    """ReLU and a separable convolution for each of `filters`, max pooling if the stride is 2, and a shortcut."""
    y, position = x, 0
    for i, wide in enumerate(filters):
        if i or first_relu:
            y = activate(y, name=f"{name}.rep.{position}")
            position += 1
        y = _separable(y, spec, wide, name=f"{name}.rep.{position}")
        y = _normalise(y, spec, name=f"{name}.rep.{position + 1}")
        position += 2
    if stride == 2:
        y = _max_pool(y, spec, name=f"{name}.rep.{position}")
        x = conv(x, filters[-1], 1, 2, padding="valid", initializer="glorot_uniform", name=f"{name}.skip")
        x = _normalise(x, spec, name=f"{name}.skipbn")
    return keras.layers.Add(name=name)([y, x])


def _separable(x, spec, filters, *, name):
    x = _pointwise(x, filters, name) if spec.pointwise_first else x
    x = depthwise_conv(x, 3, initializer="glorot_uniform", name=f"{name}.conv1")
    return x if spec.pointwise_first else _pointwise(x, filters, name)


def _pointwise(x, filters, name):
    return conv(x, filters, initializer="glorot_uniform", name=f"{name}.pointwise")


def _max_pool(x, spec, *, name):
    """3x3 max pooling with stride 2. Features may be negative, so the pooling has to pad itself: zeros could win."""
    if not spec.symmetric_pool:
        return keras.layers.MaxPooling2D(3, 2, padding="same", name=name)(x)
    # At stride 1 "same" pads both sides alike. Every second of those windows is one of PyTorch's with padding 1.
    x = keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}.dense")(x)
    return keras.layers.MaxPooling2D(1, 2, name=name)(x)


def _normalise(x, spec, *, name):
    return batch_norm(x, epsilon=spec.epsilon, momentum=spec.momentum, name=name)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="xception",
        paper=PAPER,
        body=xception,
        spec=spec,
        input_shape=(299, 299, 3),
        feature_shapes={
            "act1": (149, 149, 32),
            "act2": (147, 147, 64),
            "block1": (74, 74, 128),
            "block2": (37, 37, 256),
            "block3": (19, 19, 728),
            "block11": (19, 19, 728),
            "block12": (10, 10, 1024),
            "act4": (10, 10, 2048),
        },
        **columns,
    )


register(
    _variant(
        "xception",
        "Xception",
        Spec(),
        summary="depthwise separable convolutions throughout",
        head=dropout_head(0.5),
        preprocessing=PIXELS,
    ),
    _variant(
        "xception_timm",
        "XceptionTimm",
        Spec(epsilon=1e-5, momentum=0.9, symmetric_pool=True),
        summary="Xception as in timm (legacy_xception)",
        preprocessing=TIMM_PIXELS,
        differences=(
            "max pooling pads by one on both sides (author's code: TensorFlow's \"same\")",
            "batch normalisation's epsilon is 1e-5 (author's code: 1e-3)",
            "no dropout before the classifier by default (paper: 0.5)",
        ),
    ),
)
