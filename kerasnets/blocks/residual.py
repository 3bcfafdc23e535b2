"""Residual blocks in the original order: convolution, normalisation, ReLU."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.layers.shortcut import PaddedIdentity
from kerasnets.layers.stochastic_branch import StochasticBranch
from kerasnets.layers.stochastic_depth import MODES, StochasticDepth


class Unit(NamedTuple):
    """One residual unit of a network: `block` counts from 0 within `stage`, which counts from 1 as in the papers."""

    stage: int
    block: int
    filters: int
    stride: int
    drop: float

    def named(self, template: str = "layer{stage}.{block}") -> str:
        """Returns the unit's name; `{index}` in the template is the stage counted from 0."""
        return template.format(stage=self.stage, index=self.stage - 1, block=self.block)


def units(depths, filters, *, stochastic_depth=0.0) -> Iterator[Unit]:
    """Yields `depths[i]` units of `filters[i]` filters for each stage; each stage but the first begins with stride 2.

    `stochastic_depth` is the last unit's drop rate. The rate grows linearly with the unit's number (Huang et al. 2016,
    equation 4).
    """
    total, count = sum(depths), 0
    for i, (depth, width) in enumerate(zip(depths, filters, strict=True)):
        for j in range(depth):
            count += 1
            yield Unit(i + 1, j, width, 2 if i and not j else 1, stochastic_depth * count / total)


def residual_stages(x, block, depths, filters, *, stochastic_depth=0.0, **options):
    """Stacks all blocks of a network. Block `j` of stage `i` is called `layer<i>.<j>`, as in the public checkpoints."""
    for unit in units(depths, filters, stochastic_depth=stochastic_depth):
        x = block(x, unit.filters, unit.stride, name=unit.named(), drop=unit.drop, **options)
    return x


def stage_shapes(depths, size, widths, template="layer{stage}.{block}") -> dict[str, tuple[int, int, int]]:
    """Returns the output shape of each stage, as the papers' tables have it.

    Args:
        depths: number of blocks of each stage.
        size: height and width of the first stage's output; each further stage halves them.
        widths: output channels of each stage.
        template: how a block is named, see `Unit.named`.

    Returns:
        Name of a stage's last block -> (height, width, channels).
    """
    last = (unit for unit in units(depths, widths) if unit.block == depths[unit.stage - 1] - 1)
    return {u.named(template): (size >> u.stage - 1, size >> u.stage - 1, u.filters) for u in last}


def imagenet_stem(x, filters=64):
    """7x7 convolution and 3x3 max pooling, both with stride 2: 224 -> 56."""
    x = conv(x, filters, 7, 2, name="conv1")
    x = activate(batch_norm(x, name="bn1"), name="relu")
    return max_pool(x, 3, 2, padding=1, name="maxpool")


def cifar_stem(x, filters=16):
    """3x3 convolution that keeps the size."""
    x = conv(x, filters, 3, name="conv1")
    return activate(batch_norm(x, name="bn1"), name="relu")


def projection(x, filters, stride, *, name, kernel=1):
    """Shortcut by a 1x1 convolution (option B of He et al. 2015)."""
    return batch_norm(conv(x, filters, kernel, stride, name=f"{name}.0"), name=f"{name}.1")


def padded_identity(x, filters, stride, *, name):
    """Shortcut by subsampling, with half of the zero channels before and half behind (option A of He et al. 2015)."""
    return PaddedIdentity(filters, stride, name=name)(x)


def basic_block(x, filters, stride, *, name, **ending):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left). `ending` is what `add_shortcut` takes."""

    def branch(y):
        y = conv(y, filters, 3, stride, name=f"{name}.conv1")
        y = batch_norm(y, name=f"{name}.bn1")
        y = activate(y, name=f"{name}.relu1")
        y = conv(y, filters, 3, name=f"{name}.conv2")
        return batch_norm(y, name=f"{name}.bn2")

    return add_shortcut(x, branch, filters, stride, name=name, **ending)


def bottleneck(
    x, filters, stride, *, name, width_multipliers=(1, 1), groups=1, stride_on="3x3", conv3x3=conv, **ending
):
    """1x1, 3x3 and 1x1 convolution, the last one with 4 x `filters` (He et al. 2015, figure 5 right).

    Args:
        x: (batch, height, width, channels).
        filters: the stage's width; the output has four times as many channels.
        stride: 1 or 2.
        name: the block's name, the prefix of its layers' names.
        width_multipliers: widths of the first and the second convolution, in multiples of `filters`.
        groups: of the 3x3 convolution.
        stride_on: the convolution that has the stride, `"1x1"` (the paper) or `"3x3"`.
        conv3x3: the function that makes the 3x3 convolution, with the arguments of `conv`.
        ending: what `add_shortcut` takes.
    """
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)

    def branch(y):
        y = conv(y, width_multipliers[0] * filters, 1, first, name=f"{name}.conv1")
        y = batch_norm(y, name=f"{name}.bn1")
        y = activate(y, name=f"{name}.relu1")
        y = conv3x3(y, width_multipliers[1] * filters, 3, second, groups=groups, name=f"{name}.conv2")
        y = batch_norm(y, name=f"{name}.bn2")
        y = activate(y, name=f"{name}.relu2")
        y = conv(y, 4 * filters, 1, name=f"{name}.conv3")
        return batch_norm(y, name=f"{name}.bn3")

    return add_shortcut(x, branch, 4 * filters, stride, name=name, **ending)


bottleneck_v1 = functools.partial(bottleneck, stride_on="1x1")


def add_shortcut(x, branch, filters, stride, *, name, shortcut=projection, everywhere=False, gate=None, **drop):
    """Adds the block's input `x` to its branch and applies the last ReLU.

    Args:
        x: (batch, height, width, channels).
        branch: the function of `x` that is added.
        filters, stride: the branch's channels and stride.
        name: the block's name.
        shortcut: the function that fits `x` where the shapes differ, such as `projection`; `None` for a plain network,
            which has no shortcuts.
        everywhere: whether the shortcut is `shortcut` in blocks that keep the shape too (option C of He et al. 2015).
        gate: a function of (y, name) behind the branch, such as squeeze-and-excitation.
        drop: stochastic depth, the `drop` and `drop_mode` of `residual_sum`.
    """
    if shortcut is None:
        return activate(branch(x), name=name)
    gated = branch if gate is None else lambda y: gate(branch(y), name)
    changes = everywhere or stride != 1 or x.shape[-1] != filters
    identity = shortcut(x, filters, stride, name=f"{name}.downsample") if changes else x
    return activate(residual_sum(identity, x, gated, name=f"{name}.add", **drop), name=name)


def residual_sum(shortcut, x, branch, *, name, drop=0.0, drop_mode="batch"):
    """Returns `shortcut + branch(x)` as the layer `name`, which skips the branch at the rate `drop` while training.

    drop_mode: `"batch"` skips the branch for a whole batch, as in the paper; `"sample"` drops its output for single
        examples and scales the others up, as timm and torchvision do.
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
