"""Squeeze-and-excitation networks: residual branches whose channels are gated by their own means.

Hu, Shen and Sun 2017, "Squeeze-and-Excitation Networks": figure 3, table 1; the authors' Caffe release for SENet-154.

* The gate stands behind the last normalisation of the branch, r = 16; its dense layers have biases, as in the release
  (the paper's later ablation finds them useless).
* Rows of the release: max pooling without padding that counts the last incomplete window; SE-ResNet takes the stride in
  the first 1x1, SE-ResNeXt and SENet-154 in the 3x3. Layer names and pixels are those of their PyTorch conversion (timm
  `legacy_*`).
* SENet-154: stem of three 3x3, first 1x1 of half the width, 3x3 shortcuts where the size changes, dropout 0.2.
* `_timm`: torchvision's residual networks (stride in the 3x3, pooling padded by one) with the gate.
"""

import functools
from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.blocks.head import dropout_head
from kerasnets.blocks.residual import basic_block, bottleneck, imagenet_stem, stage_shapes, stages
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
    """Depths, widths of a block's first two convolutions (in multiples of the stage's), groups, place of the stride."""

    depths: tuple[int, ...]
    inner: tuple[int, int] = (1, 1)
    groups: int = 1
    stride_on: str = "3x3"
    block: str = "bottleneck"


def senet(x, spec: Spec, *, stochastic_depth=0.0):
    """The authors' release.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    x = conv(x, 64, 7, 2, name="layer0.conv1")
    x = activate(batch_norm(x, name="layer0.bn1"), name="layer0.relu1")
    x = max_pool(x, 3, 2, ceil=True, name="layer0.pool")
    return _stages(x, spec, _release_gate, stochastic_depth=stochastic_depth)


def senet154(x, spec: Spec, *, stochastic_depth=0.0):
    """SENet-154: a stem of three 3x3 convolutions, 3x3 shortcuts.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    for i, (filters, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        x = conv(x, filters, 3, stride, name=f"layer0.conv{i}")
        x = activate(batch_norm(x, name=f"layer0.bn{i}"), name=f"layer0.relu{i}")
    x = max_pool(x, 3, 2, ceil=True, name="layer0.pool")
    return _stages(x, spec, _release_gate, stochastic_depth=stochastic_depth, shortcut="projection3x3")


def senet_timm(x, spec: Spec, *, stochastic_depth=0.0):
    """timm's form: torchvision's stem.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    return _stages(imagenet_stem(x), spec, _timm_gate, stochastic_depth=stochastic_depth)


def _stages(x, spec, gate, **options):
    if spec.block == "basic":
        return stages(x, basic_block, spec.depths, FILTERS, gate=gate, **options)
    block = functools.partial(bottleneck, inner=spec.inner, groups=spec.groups, stride_on=spec.stride_on)
    return stages(x, block, spec.depths, FILTERS, gate=gate, **options)


def _release_gate(y, name):
    return squeeze_excite(y, y.shape[-1] // 16, name=f"{name}.se_module")


def _timm_gate(y, name):
    # timm rounds to multiples of eight, which only the first stages of 34 layers notice.
    return squeeze_excite(y, max(8, y.shape[-1] // 16), name=f"{name}.se")


def _row(name: str, spec: Spec, *, body=senet, **options):
    basic = spec.block == "basic"
    if body is senet_timm:
        pixels = Preprocessing(224, 0.95, "bicubic")
        options["differences"] = ("max pooling pads by one, and the stride is in the 3x3 convolution",)
    else:
        pixels = Preprocessing()
    title = name.replace("se_resnet", "SEResNet").replace("se_resnext", "SEResNeXt").replace("senet", "SENet")
    return Variant(
        name=name,
        python_name=title.replace("_timm", "Timm"),
        family="senet",
        summary=f"squeeze-and-excitation, {'basic blocks' if basic else 'bottlenecks'} {spec.depths}",
        paper=PAPER,
        body=body,
        spec=spec,
        preprocessing=pixels,
        stages=stage_shapes(spec.depths, (56, 28, 14, 7), FILTERS if basic else (256, 512, 1024, 2048)),
        **options,
    )


register(
    _row("se_resnet50", Spec((3, 4, 6, 3), stride_on="1x1")),
    _row("se_resnet101", Spec((3, 4, 23, 3), stride_on="1x1")),
    _row("se_resnet152", Spec((3, 8, 36, 3), stride_on="1x1")),
    _row("se_resnext50_32x4d", Spec((3, 4, 6, 3), (2, 2), 32)),
    _row("se_resnext101_32x4d", Spec((3, 4, 23, 3), (2, 2), 32)),
    _row("senet154", Spec((3, 8, 36, 3), (2, 4), 64), body=senet154, head=dropout_head(0.2)),
    _row("se_resnet34_timm", Spec((3, 4, 6, 3), block="basic"), body=senet_timm),
    _row("se_resnet50_timm", Spec((3, 4, 6, 3)), body=senet_timm),
    _row("se_resnet101_timm", Spec((3, 4, 23, 3)), body=senet_timm),
    _row("se_resnext50_32x4d_timm", Spec((3, 4, 6, 3), (2, 2), 32), body=senet_timm),
    _row("se_resnext101_32x4d_timm", Spec((3, 4, 23, 3), (2, 2), 32), body=senet_timm),
)
