"""The inverted residual of MobileNetV2, MobileNetV3 and EfficientNet: expand, depthwise, (squeeze and excite), project.

Sandler et al. 2018, figure 3b; with squeeze-and-excitation Howard et al. 2019, figure 4, and Tan and Le 2019, "MBConv".
"""

from typing import NamedTuple

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv, depthwise_conv
from kerasnets.blocks.squeeze_excite import squeeze_excite
from kerasnets.layers.stochastic_depth import StochasticDepth


class Source(NamedTuple):
    """What a row takes over from the implementation that its public weights were made with.

    `block` names a block by its `{stage}` (from 0; from 1 as `{position}`), its `{index}` in the stage (from 0) and its
    `{number}` in the network (from 1); `parts` is a convention that `_parts` knows.
    """

    padding: str | None
    epsilon: float
    momentum: float
    stem: tuple[str, str]
    block: str
    parts: str
    squeeze: tuple[str, str]


class Block(NamedTuple):
    """One inverted residual, in the columns of the papers' tables; `squeezed=0` is a block without gates."""

    kernel: int
    expanded: int
    filters: int
    squeezed: int
    activation: str
    stride: int


def tensorflow(momentum: float) -> Source:
    """The authors' TensorFlow code; layer names as in timm's `tf_` networks, which hold the authors' weights."""
    names = ("blocks.{stage}.{index}", "timm", ("conv_reduce", "conv_expand"))
    return Source("same", 1e-3, momentum, ("conv_stem", "bn1"), *names)


def torchvision(epsilon=1e-5, momentum=0.9, block="features.{number}", parts="torchvision") -> Source:
    """torchvision: symmetric zeros, PyTorch's constants of batch normalisation unless said."""
    return Source(None, epsilon, momentum, ("features.0.0", "features.0.1"), block, parts, ("fc1", "fc2"))


def round_channels(channels: float, divisor: int = 8) -> int:
    """Returns the nearest multiple of `divisor`, at least `divisor` and never less than nine tenths of `channels`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_unit(x, filters, kernel, stride, source: Source, *, names, activation):
    """Convolution, batch normalisation, activation; `names` are those of the first two, `activation=None` is linear."""
    x = conv(x, filters, kernel, stride, padding=source.padding, name=names[0])
    return finish(x, source, names[1], activation)


def inverted_residual(x, block: Block, source: Source, *, name, gate="sigmoid", squeeze_activation="relu", drop=0.0):
    """One block; its output is linear, and its shortcut exists where input and output have the same shape.

    Args:
        x: (batch, height, width, channels).
        block: the block's row of the table.
        source: padding, constants and names.
        name: the block's name.
        gate, squeeze_activation: the two activations of squeeze-and-excitation.
        drop: the probability that training skips the branch, drawn for every image.

    Returns:
        (batch, height / stride, width / stride, block.filters).
    """
    y, expands = x, block.expanded != x.shape[-1]
    expand, depthwise, squeeze, project = (
        tuple(f"{name}.{own}" for own in part.split()) for part in _parts(source.parts, expands, block.squeezed)
    )
    if expands:
        y = conv_unit(y, block.expanded, 1, 1, source, names=expand, activation=block.activation)
    y = depthwise_conv(y, block.kernel, block.stride, padding=source.padding, name=depthwise[0])
    y = finish(y, source, depthwise[1], block.activation)
    if block.squeezed:
        gates = {"activation": squeeze_activation, "gate": gate, "names": source.squeeze}
        y = squeeze_excite(y, block.squeezed, name=squeeze[0], **gates)
    y = conv_unit(y, block.filters, 1, 1, source, names=project, activation=None)
    if block.stride != 1 or x.shape[-1] != block.filters:
        return y
    if drop:
        y = StochasticDepth(drop, mode="sample", scale="train", name=f"{name}.drop")(y)
    return keras.layers.Add(name=name)([x, y])


def inverted_residuals(x, stages, source: Source, *, drop=0.0, **options):
    """All blocks of a network, `stages` being a sequence of sequences of `Block`.

    The drop probability grows linearly with the block's number, from 0 to almost `drop`, as in the authors' code.
    """
    number, total = 0, sum(len(blocks) for blocks in stages)
    for stage, blocks in enumerate(stages):
        for index, block in enumerate(blocks):
            name = source.block.format(stage=stage, position=stage + 1, index=index, number=number + 1)
            x = inverted_residual(x, block, source, name=name, drop=drop * number / total, **options)
            number += 1
    return x


def finish(x, source: Source, name, activation):
    """Batch normalisation called `name`, then the activation; `None` is linear."""
    x = batch_norm(x, epsilon=source.epsilon, momentum=source.momentum, name=name)
    return activate(x, activation, name=f"{name}.act") if activation else x


def _parts(convention, expands, squeezes):
    """Names, inside a block, of expansion, depthwise convolution, squeeze-and-excitation and projection."""
    if convention == "timm":
        if expands:
            return "conv_pw bn1", "conv_dw bn2", "se", "conv_pwl bn3"
        return "", "conv_dw bn1", "se", "conv_pw bn2"
    first = int(expands)
    if convention == "torchvision_v2":
        return "conv.0.0 conv.0.1", f"conv.{first}.0 conv.{first}.1", "", f"conv.{first + 1} conv.{first + 2}"
    last = first + (2 if squeezes else 1)
    return (
        "block.0.0 block.0.1",
        f"block.{first}.0 block.{first}.1",
        f"block.{first + 1}",
        f"block.{last}.0 block.{last}.1",
    )
