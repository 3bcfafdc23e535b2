"""Residual blocks in the original order (convolution, normalisation, ReLU), for every family that is built of them."""

from collections.abc import Iterator
from typing import NamedTuple

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.layers.shortcut import PaddedIdentity
from kerasnets.layers.stochastic_branch import StochasticBranch
from kerasnets.layers.stochastic_depth import MODES, StochasticDepth


class Unit(NamedTuple):
    """One residual unit of a network: `block` counts from 0 within `stage`, which counts from 1 as the papers do."""

    stage: int
    block: int
    filters: int
    stride: int
    drop: float

    def named(self, template: str = "layer{stage}.{block}") -> str:
        """The unit's name; `{index}` in the template is the stage counted from 0."""
        return template.format(stage=self.stage, index=self.stage - 1, block=self.block)


def units(depths, widths, *, stochastic_depth=0.0) -> Iterator[Unit]:
    """Yields `depths[i]` units of `widths[i]` filters for each stage; every stage but the first begins with stride 2.

    `stochastic_depth` is the last unit's drop rate; earlier ones decay linearly (Huang et al. 2016, equation 4).
    """
    total, count = sum(depths), 0
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for j in range(depth):
            count += 1
            yield Unit(i + 1, j, width, 2 if i and not j else 1, stochastic_depth * count / total)


def stages(x, block, depths, widths, *, stochastic_depth=0.0, **options):
    """Stacks all units of a network; block `j` of stage `i` is called `layer<i>.<j>`, as in the public checkpoints."""
    for unit in units(depths, widths, stochastic_depth=stochastic_depth):
        x = block(x, unit.filters, unit.stride, name=unit.named(), drop=unit.drop, **options)
    return x


def imagenet_stem(x, filters=64):
    """7x7 convolution and 3x3 max pooling, both with stride 2: 224 -> 56."""
    x = conv(x, filters, 7, 2, name="conv1")
    x = activate(batch_norm(x, name="bn1"), name="relu")
    return max_pool(x, 3, 2, padding=1, name="maxpool")


def cifar_stem(x, filters=16):
    """3x3 convolution that keeps the size."""
    x = conv(x, filters, 3, name="conv1")
    return activate(batch_norm(x, name="bn1"), name="relu")


def basic_block(x, filters, stride, *, name, **ending):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left). `ending` is what `add_shortcut` takes."""

    def branch(y):
        y = conv(y, filters, 3, stride, name=f"{name}.conv1")
        y = batch_norm(y, name=f"{name}.bn1")
        y = activate(y, name=f"{name}.relu1")
        y = conv(y, filters, 3, name=f"{name}.conv2")
        return batch_norm(y, name=f"{name}.bn2")

    return add_shortcut(x, branch, filters, stride, name=name, **ending)


def bottleneck(x, filters, stride, *, name, inner=(1, 1), groups=1, stride_on="3x3", middle=conv, **ending):
    """1x1, 3x3 and 1x1 convolution, the last one with 4 x `filters` (He et al. 2015, figure 5 right).

    Args:
        x: (batch, height, width, channels).
        filters: the stage's width; the output has four times as many channels.
        stride: 1 or 2.
        name: the block's name, the prefix of its layers' names.
        inner: widths of the first and the second convolution, in multiples of `filters`.
        groups: of the 3x3 convolution.
        stride_on: the convolution that takes the stride, `"1x1"` (the paper) or `"3x3"`.
        middle: the 3x3 convolution, a function with the arguments of `conv`.
        ending: what `add_shortcut` takes.
    """
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)

    def branch(y):
        y = conv(y, inner[0] * filters, 1, first, name=f"{name}.conv1")
        y = batch_norm(y, name=f"{name}.bn1")
        y = activate(y, name=f"{name}.relu1")
        y = middle(y, inner[1] * filters, 3, second, groups=groups, name=f"{name}.conv2")
        y = batch_norm(y, name=f"{name}.bn2")
        y = activate(y, name=f"{name}.relu2")
        y = conv(y, 4 * filters, 1, name=f"{name}.conv3")
        return batch_norm(y, name=f"{name}.bn3")

    return add_shortcut(x, branch, 4 * filters, stride, name=name, **ending)


def add_shortcut(x, branch, filters, stride, *, name, shortcut="projection", gate=None, **drop):
    """Adds the block's input `x` to its branch and applies the last ReLU.

    Args:
        x: (batch, height, width, channels).
        branch: the function of `x` that is added.
        filters, stride: the branch's channels and stride.
        name: the block's name.
        shortcut: how `x` is fitted where the shapes differ, one of `fit`'s kinds, or `None` for a plain network that
            has no shortcuts at all.
        gate: a function of (y, name) behind the branch, such as squeeze-and-excitation.
        drop: stochastic depth, the `drop` and `drop_mode` of `residual_sum`.
    """
    if shortcut is None:
        return activate(branch(x), name=name)
    gated = branch if gate is None else lambda y: gate(branch(y), name)
    changes = stride != 1 or x.shape[-1] != filters
    identity = fit(x, filters, stride, shortcut, name=f"{name}.downsample") if changes else x
    return activate(residual_sum(identity, x, gated, name=f"{name}.add", **drop), name=name)


def residual_sum(shortcut, x, branch, *, name, drop=0.0, drop_mode="batch"):
    """Returns `shortcut + branch(x)` as the layer `name`, which skips the branch at the rate `drop` while training.

    drop_mode: `"batch"` skips it for a whole batch, as in the paper; `"sample"` drops its outcome for single examples
        and scales the others up, as timm and torchvision do.
    """
    if drop_mode not in MODES:
        raise ValueError(f"`drop_mode` should be 'batch' or 'sample'. Received: drop_mode={drop_mode!r}")
    if drop and drop_mode == "sample":
        dropped = StochasticDepth(drop, mode="sample", scale="train", name=f"{name}.drop")(branch(x))
        return keras.layers.Add(name=name)([shortcut, dropped])
    if not drop:
        return keras.layers.Add(name=name)([shortcut, branch(x)])
    inputs = keras.Input(x.shape[1:], dtype=x.dtype, name=f"{name}.input")
    return StochasticBranch(keras.Model(inputs, branch(inputs), name=f"{name}.branch"), drop, name=name)([shortcut, x])


def fit(x, filters, stride, kind, *, name):
    """Gives the shortcut another size.

    `"projection"` is a 1x1 convolution (option B of He et al. 2015), `"projection3x3"` a 3x3 one where the stride is 2
    (SENet-154); `"identity"` subsamples and has zero channels half before, half behind (option A), `"pooled"` takes
    means of 2x2 and has them behind.
    """
    if kind == "identity":
        return PaddedIdentity(filters, stride, name=name)(x)
    if kind == "pooled":
        x = keras.layers.AveragePooling2D(stride, padding="same", name=f"{name}.pool")(x) if stride > 1 else x
        return PaddedIdentity(filters, zeros="after", name=name)(x)
    kernel = 3 if kind == "projection3x3" and stride > 1 else 1
    return batch_norm(conv(x, filters, kernel, stride, name=f"{name}.0"), name=f"{name}.1")


def stage_shapes(depths, sizes, widths, template="layer{stage}.{block}") -> dict[str, tuple[int, int, int]]:
    """The papers' tables for the tests: the last unit of each stage -> (height, width, channels)."""
    last = [list(units(depths[: i + 1], widths[: i + 1]))[-1] for i in range(len(depths))]
    return {u.named(template): (s, s, w) for u, s, w in zip(last, sizes, widths, strict=True)}
