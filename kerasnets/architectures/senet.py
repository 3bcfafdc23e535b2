"""Squeeze-and-excitation networks: residual branches whose channels are gated by their own means.

Hu, Shen and Sun 2017, "Squeeze-and-Excitation Networks": figure 3, table 1; the authors' Caffe release for SENet-154.

* The gate stands behind the last normalisation of the branch, with r = 16. Its dense layers have biases, as in the
  release (the paper's later ablation finds them useless).
* The authors' release: max pooling without padding that counts the last incomplete window. SE-ResNet has its stride in
  the first 1x1 convolution, SE-ResNeXt and SENet-154 in the 3x3. Layer names and pixels are those of its conversion to
  PyTorch (timm `legacy_*`).
* SENet-154: a stem of three 3x3 convolutions, a first 1x1 of half the width, 3x3 shortcuts where the stride is 2,
  dropout 0.2.
* `_timm`: torchvision's residual networks (stride in the 3x3, pooling padded by one) with the gate.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.blocks.head import dropout_head
from kerasnets.blocks.residual import (
    basic_block,
    bottleneck,
    bottleneck_v1,
    imagenet_stem,
    projection,
    residual_stages,
    stage_shapes,
)
from kerasnets.blocks.squeeze_excite import squeeze_excite
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Squeeze-and-Excitation Networks",
    "Hu, Shen, Sun",
    2017,
    "https://arxiv.org/abs/1709.01507",
)
FILTERS = (64, 128, 256, 512)


class Spec(NamedTuple):
    """Kind of block, blocks of each stage."""

    block: Callable
    depths: tuple[int, ...]


def senet(x, spec: Spec, *, stochastic_depth=0.0):
    """The authors' release."""
    x = conv(x, 64, 7, 2, name="layer0.conv1")
    x = activate(batch_norm(x, name="layer0.bn1"), name="layer0.relu1")
    x = max_pool(x, 3, 2, ceil=True, name="layer0.pool")
    return _stages(x, spec, _release_gate, stochastic_depth=stochastic_depth)


def senet154(x, spec: Spec, *, stochastic_depth=0.0):
    """SENet-154: a stem of three 3x3 convolutions, 3x3 shortcuts."""
    for i, (filters, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        x = conv(x, filters, 3, stride, name=f"layer0.conv{i}")
        x = activate(batch_norm(x, name=f"layer0.bn{i}"), name=f"layer0.relu{i}")
    x = max_pool(x, 3, 2, ceil=True, name="layer0.pool")
    return _stages(x, spec, _release_gate, stochastic_depth=stochastic_depth, shortcut=projection3x3)


def senet_timm(x, spec: Spec, *, stochastic_depth=0.0):
    """timm's form: torchvision's stem."""
    return _stages(imagenet_stem(x), spec, _timm_gate, stochastic_depth=stochastic_depth)


def _stages(x, spec, gate, **options):
    return residual_stages(x, spec.block, spec.depths, FILTERS, gate=gate, **options)


def projection3x3(x, filters, stride, *, name):
    """Shortcut of SENet-154: a 3x3 convolution where the stride is 2, else a 1x1."""
    return projection(x, filters, stride, name=name, kernel=3 if stride > 1 else 1)


def _release_gate(y, name):
    return squeeze_excite(y, y.shape[-1] // 16, name=f"{name}.se_module")


def _timm_gate(y, name):
    # timm rounds to multiples of eight, which changes only the first stages of the network with 34 layers.
    return squeeze_excite(y, max(8, y.shape[-1] // 16), name=f"{name}.se")


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    basic = spec.block is basic_block
    return Variant(
        name=name,
        python_name=python_name,
        family="senet",
        summary=f"squeeze-and-excitation, {'basic blocks' if basic else 'bottlenecks'} {spec.depths}",
        paper=PAPER,
        spec=spec,
        feature_shapes=stage_shapes(spec.depths, 56, FILTERS if basic else (256, 512, 1024, 2048)),
        **columns,
    )


_PADDING = "max pooling pads by one, and the stride is in the 3x3 convolution"
_RELEASE = {"body": senet}
_SENET154 = {"body": senet154, "head": dropout_head(0.2)}
_TIMM = {"body": senet_timm, "preprocessing": Preprocessing(224, 0.95, "bicubic"), "differences": (_PADDING,)}
_RESNEXT = functools.partial(bottleneck, width_multipliers=(2, 2), groups=32)
_154 = functools.partial(bottleneck, width_multipliers=(2, 4), groups=64)

register(
    _variant("se_resnet50", "SEResNet50", Spec(bottleneck_v1, (3, 4, 6, 3)), **_RELEASE),
    _variant("se_resnet101", "SEResNet101", Spec(bottleneck_v1, (3, 4, 23, 3)), **_RELEASE),
    _variant("se_resnet152", "SEResNet152", Spec(bottleneck_v1, (3, 8, 36, 3)), **_RELEASE),
    _variant("se_resnext50_32x4d", "SEResNeXt50_32x4d", Spec(_RESNEXT, (3, 4, 6, 3)), **_RELEASE),
    _variant("se_resnext101_32x4d", "SEResNeXt101_32x4d", Spec(_RESNEXT, (3, 4, 23, 3)), **_RELEASE),
    _variant("senet154", "SENet154", Spec(_154, (3, 8, 36, 3)), **_SENET154),
    _variant("se_resnet34_timm", "SEResNet34Timm", Spec(basic_block, (3, 4, 6, 3)), **_TIMM),
    _variant("se_resnet50_timm", "SEResNet50Timm", Spec(bottleneck, (3, 4, 6, 3)), **_TIMM),
    _variant("se_resnet101_timm", "SEResNet101Timm", Spec(bottleneck, (3, 4, 23, 3)), **_TIMM),
    _variant("se_resnext50_32x4d_timm", "SEResNeXt50_32x4dTimm", Spec(_RESNEXT, (3, 4, 6, 3)), **_TIMM),
    _variant("se_resnext101_32x4d_timm", "SEResNeXt101_32x4dTimm", Spec(_RESNEXT, (3, 4, 23, 3)), **_TIMM),
)
