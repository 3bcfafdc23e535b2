"""The inverted residual of MobileNetV2, MobileNetV3 and EfficientNet: expand, depthwise, (squeeze and excite), project.

Sandler et al. 2018, figure 3b; with squeeze-and-excitation Howard et al. 2019, figure 4, and Tan and Le 2019, "MBConv".
"""

from collections.abc import Callable
from typing import NamedTuple

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv, depthwise_conv
from kerasnets.blocks.squeeze_excite import squeeze_excite
from kerasnets.layers.stochastic_depth import StochasticDepth


class Source(NamedTuple):
    """What a variant has from the implementation that its public weights were made with.

    Attributes:
        padding: as in `kerasnets.blocks.convolution.conv`.
        epsilon, momentum: of batch normalisation.
        stem: names of the first convolution and its normalisation.
        block: how a block is named: by its `{stage}` (from 0; from 1 as `{position}`), its `{index}` in the stage (from
            0) and its `{number}` in the network (from 1).
        parts: (whether the block expands, whether it has squeeze-and-excitation) -> names inside the block, of the
            expansion, the depthwise convolution, squeeze-and-excitation and the projection; a convolution's name is
            followed by its normalisation's.
        squeeze: names of the two layers of squeeze-and-excitation.
    """

    padding: str | None
    epsilon: float
    momentum: float
    stem: tuple[str, str]
    block: str
    parts: Callable[[bool, bool], tuple[str, str, str, str]]
    squeeze: tuple[str, str]


class Block(NamedTuple):
    """One inverted residual, in the columns of the papers' tables; `squeezed=0`: without squeeze-and-excitation."""

    kernel: int
    expanded: int
    filters: int
    squeezed: int
    activation: str
    stride: int


def tensorflow(momentum: float) -> Source:
    """The authors' TensorFlow code, with the layer names of timm's `tf_` networks, which have the authors' weights."""
    names = ("blocks.{stage}.{index}", _timm_parts, ("conv_reduce", "conv_expand"))
    return Source("same", 1e-3, momentum, ("conv_stem", "bn1"), *names)


def torchvision(epsilon=1e-5, momentum=0.9, block="features.{number}") -> Source:
    """torchvision: symmetric padding, by default PyTorch's constants of batch normalisation."""
    names = (("features.0.0", "features.0.1"), block, _torchvision_parts, ("fc1", "fc2"))
    return Source(None, epsilon, momentum, *names)


def torchvision_v2() -> Source:
    """torchvision's MobileNetV2, which names the parts of a block in another way."""
    return torchvision()._replace(parts=_torchvision_v2_parts)


def round_channels(channels: float, divisor: int = 8) -> int:
    """Returns the nearest multiple of `divisor`, at least `divisor` and never less than nine tenths of `channels`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_unit(x, filters, kernel, stride, source: Source, *, names, activation):
    """Convolution and batch normalisation called `names`, then the activation; `None` is linear."""
    x = conv(x, filters, kernel, stride, padding=source.padding, name=names[0])
    return finish(x, source, names[1], activation)


def inverted_residual(x, block: Block, source: Source, *, name, gate="sigmoid", squeeze_activation="relu", drop=0.0):
    """One block. Its output is linear. It has a shortcut where input and output have the same shape.

    Args:
        x: (batch, height, width, channels).
        block: the block's numbers.
        source: padding, constants and names.
        name: the block's name.
        gate, squeeze_activation: the two activations of squeeze-and-excitation.
        drop: probability that training drops the branch, decided for every image.

    Returns:
        (batch, height / stride, width / stride, block.filters).
    """
    y, expands = x, block.expanded != x.shape[-1]
    expand, depthwise, squeeze, project = (
        tuple(f"{name}.{own}" for own in part.split()) for part in source.parts(expands, block.squeezed > 0)
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
    """All blocks of a network; `stages` has a sequence of `Block` for each stage.

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


def _timm_parts(expands, squeezes):
    if expands:
        return "conv_pw bn1", "conv_dw bn2", "se", "conv_pwl bn3"
    return "", "conv_dw bn1", "se", "conv_pw bn2"


def _torchvision_parts(expands, squeezes):
    first = int(expands)
    last = first + (2 if squeezes else 1)
    depthwise, project = f"block.{first}.0 block.{first}.1", f"block.{last}.0 block.{last}.1"
    return "block.0.0 block.0.1", depthwise, f"block.{first + 1}", project


def _torchvision_v2_parts(expands, squeezes):
    first = int(expands)
    return "conv.0.0 conv.0.1", f"conv.{first}.0 conv.{first}.1", "", f"conv.{first + 1} conv.{first + 2}"
