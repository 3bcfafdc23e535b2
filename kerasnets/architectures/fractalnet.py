"""FractalNet: depth without residuals, by columns of doubling depth that are joined by their mean.

Larsson, Maire and Shakhnarovich 2016, "FractalNet: Ultra-Deep Neural Networks without Residuals": figure 1, section 4.

* f_1 is a convolution, f_{C+1} = join(f_C f_C, convolution); joins that meet are one. A convolution has a bias and is
  followed by dropout, normalisation and ReLU. As in the authors' Caffe generator each column is pooled *before* the
  last join of a block. The generator's normalisation has no scale and offset (`affine=False`).
* 20 layers have 33.7 M parameters by the paper's text and its generator; the paper's table says 38.6 M. The 40-layer
  variant is the thin one (16 to 128 channels, 4.8 M), as in the paper's table of depths.
* `columns=k` builds column k alone with unchanged layer names, so that it can be given the weights of a trained network
  (anytime prediction).
* `fractalnet34`: ResNet-34's stem and end around four blocks of four columns, 1 + 4 x 8 + 1 layers. The authors' files
  build the CIFAR networks only. A public re-implementation has the same columns and channels (128 to 1024), but pools
  after the last block and not in the stem, at four times the cost. That the stem is ResNet's with its pooling is our
  reading.
"""

import functools
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.convolution import activate, conv, max_pool
from kerasnets.blocks.head import plain_head
from kerasnets.blocks.residual import imagenet_stem
from kerasnets.layers.batch_norm import BatchNormalization
from kerasnets.layers.fractal_join import FractalJoin, PathSampler
from kerasnets.registry import Paper

PAPER = Paper(
    "FractalNet: Ultra-Deep Neural Networks without Residuals",
    "Larsson, Maire, Shakhnarovich",
    2016,
    "https://arxiv.org/abs/1605.07648",
)


class Spec(NamedTuple):
    """Columns C, channels of each block, whether the last block ends in pooling too."""

    columns: int
    channels: tuple[int, ...]
    pool_last: bool = True


def fractalnet_cifar(x, spec: Spec, *, dropout=0.4, drop_path=0.15, columns=None, affine=True):
    """Blocks of columns that are joined; each block halves the size.

    dropout: rate of dropout in the last block's convolutions, 0 to 1; it grows linearly from 0 in the first block.
    drop_path: rate of local drop-path, which half of the training steps use; the other half train one column alone. 0
        turns both off.
    columns: the one column to build, 1 (shallow) to C (deep), or `None` for the whole network.
    affine: whether normalisations have scale and offset; `False` is the authors' generator.
    """
    if columns is not None and columns not in range(1, spec.columns + 1):
        raise ValueError(f"`columns` should be `None` or 1 to {spec.columns}. Received: columns={columns!r}")
    path = PathSampler(spec.columns, name="path")(x) if drop_path and columns is None else None
    for i, filters in enumerate(spec.channels, 1):
        rate = dropout * (i - 1) / (len(spec.channels) - 1)
        pools = i < len(spec.channels) or spec.pool_last
        unit = functools.partial(_unit, filters=filters, rate=rate, affine=affine)
        if columns is not None:
            x = _column(x, unit, columns, pools, name=f"block{i}")
        else:
            join = functools.partial(_join, path=path, rate=drop_path)
            x = _fractal(x, unit, join, spec.columns, pools, name=f"block{i}")
    return x


def fractalnet(x, spec: Spec, *, dropout=0.0, drop_path=0.15, columns=None, affine=True):
    options = {"dropout": dropout, "drop_path": drop_path, "columns": columns, "affine": affine}
    return fractalnet_cifar(imagenet_stem(x), spec, **options)


fractalnet.__doc__ = fractalnet_cifar.__doc__


def _fractal(x, unit, join, count, pools, *, name):
    """One block of `count` columns. Column c has 2^(c-1) convolutions; columns that end together are joined."""
    columns = [x] * count
    steps = 2 ** (count - 1)
    for step in range(1, steps + 1):
        for c in range(count):
            if (step - 1) % (steps >> c) == 0:
                columns[c] = unit(columns[c], name=f"{name}.column{c + 1}.{(step - 1) // (steps >> c)}")
        ending = [c for c in range(count) if step % (steps >> c) == 0]
        if step == steps and pools:
            columns = [max_pool(y, 2, 2, name=f"{name}.pool{c + 1}") for c, y in enumerate(columns)]
        if len(ending) > 1:
            joined = join([columns[c] for c in ending], name=f"{name}.join{step}")
            columns[ending[0] :] = [joined] * len(ending)
    return columns[-1]


def _column(x, unit, column, pools, *, name):
    for step in range(2 ** (column - 1)):
        x = unit(x, name=f"{name}.column{column}.{step}")
    return max_pool(x, 2, 2, name=f"{name}.pool{column}") if pools else x


def _join(columns, *, path, rate, name):
    if path is None:
        return keras.layers.Average(name=name)(columns)
    return FractalJoin(rate, name=name)([path, *columns])


def _unit(x, *, filters, rate, affine, name):
    x = conv(x, filters, 3, use_bias=True, initializer="glorot_uniform", name=f"{name}.conv")
    if rate:
        x = keras.layers.Dropout(rate, name=f"{name}.dropout")(x)
    x = BatchNormalization(epsilon=1e-5, momentum=0.9, scale=affine, center=affine, name=f"{name}.bn")(x)
    return activate(x, name=f"{name}.relu")


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    data = "CIFAR" if columns["body"] is fractalnet_cifar else "ImageNet"
    convolutions = len(spec.channels) * 2 ** (spec.columns - 1)
    return Variant(
        name=name,
        python_name=python_name,
        family="fractalnet",
        summary=f"{convolutions + 2 * (data == 'ImageNet')} layers, {spec.columns} columns, for {data}",
        paper=PAPER,
        head=plain_head,
        spec=spec,
        **columns,
    )


_COUNT = "33.7 million parameters, as the text and the authors' generator give them (paper's table: 38.6 million)"
_STEM = (
    "our assumption where the paper does not say: the stem pools and the last block does not (a public "
    "re-implementation: the opposite); no published counts"
)
_CIFAR = {"body": fractalnet_cifar, **CIFAR, "min_size": 32}

register(
    _variant(
        "fractalnet20_cifar",
        "FractalNet20CIFAR",
        Spec(3, (64, 128, 256, 512, 512)),
        feature_shapes={
            "block1.join4": (16, 16, 64),
            "block2.join4": (8, 8, 128),
            "block3.join4": (4, 4, 256),
            "block4.join4": (2, 2, 512),
            "block5.join4": (1, 1, 512),
        },
        differences=(_COUNT,),
        **_CIFAR,
    ),
    _variant(
        "fractalnet40_cifar",
        "FractalNet40CIFAR",
        Spec(4, (16, 32, 64, 128, 128)),
        feature_shapes={
            "block1.join8": (16, 16, 16),
            "block2.join8": (8, 8, 32),
            "block3.join8": (4, 4, 64),
            "block4.join8": (2, 2, 128),
            "block5.join8": (1, 1, 128),
        },
        **_CIFAR,
    ),
    _variant(
        "fractalnet34",
        "FractalNet34",
        Spec(4, (128, 256, 512, 1024), pool_last=False),
        body=fractalnet,
        differences=(_STEM,),
    ),
)
