"""Residual networks, and the plain networks they were measured against.

He, Zhang, Ren and Sun 2015, "Deep Residual Learning for Image Recognition": table 1 (ImageNet), section 4.2 (CIFAR-10).
A convolution is followed by batch normalisation and ReLU; the shortcut is added before the last ReLU.

* The paper's bottleneck takes its stride in the first 1x1 convolution; the `_v1_5` rows (fb.resnet.torch, torchvision,
  timm) take it in the 3x3, for 0.23 G more multiply-adds.
* Where the size changes, ImageNet rows project with a 1x1 convolution (option B) and CIFAR rows pad with zeros (option
  A). The paper does not say where the zeros go: here half before, half behind, as in the public CIFAR weights.
* Pooling: the authors' Caffe files pool without padding and count the last incomplete window; all rows here pad by one,
  as torchvision, timm and keras.applications do. Both give 56x56.
* Stochastic depth (Huang et al. 2016): `stochastic_depth=` is the last block's drop rate, with linear decay, one
  decision a batch; a dropped block is not computed, and branches are scaled at inference. Its rows have the authors'
  shortcut: means of 2x2, zeros behind. Their Lua keeps biases in the convolutions, which the normalisation cancels;
  ours have none.
* Initialisation: normal with variance 2 / fan-out, one of the two forms that the paper's reference [13] allows.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.residual import basic_block, bottleneck, cifar_stem, imagenet_stem, stage_shapes, stages
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Deep Residual Learning for Image Recognition",
    "He, Zhang, Ren, Sun",
    2015,
    "https://arxiv.org/abs/1512.03385",
)
STOCHASTIC_DEPTH = Paper(
    "Deep Networks with Stochastic Depth",
    "Huang, Sun, Liu, Sedra, Weinberger",
    2016,
    "https://arxiv.org/abs/1603.09382",
)
CIFAR_PIXELS = Preprocessing(32, 1.0)


class Spec(NamedTuple):
    """Columns of the paper's table 1."""

    block: str
    depths: tuple[int, ...]
    stride_on: str = "1x1"
    shortcut: str | None = "projection"


def resnet(x, spec: Spec, *, stochastic_depth=0.0, drop_mode="batch"):
    """The ImageNet networks: 7x7 stem, 3x3 max pooling, four stages of 64 to 512 filters.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    drop_mode: `"batch"`, one decision for all examples (the paper), or `"sample"`, one for each (timm).
    """
    depth = {"stochastic_depth": stochastic_depth, "drop_mode": drop_mode}
    return _stages(imagenet_stem(x), spec, (64, 128, 256, 512), **depth)


def resnet_cifar(x, spec: Spec, *, stochastic_depth=0.0):
    """The CIFAR-10 networks of 6n+2 layers: 3x3 stem, three stages of n blocks with 16, 32 and 64 filters.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    return _stages(cifar_stem(x), spec, (16, 32, 64), stochastic_depth=stochastic_depth)


def resnet_stochastic_depth_cifar(x, spec: Spec, *, stochastic_depth=0.5):
    """The same, trained with stochastic depth.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    return resnet_cifar(x, spec, stochastic_depth=stochastic_depth)


def plain(x, spec: Spec):
    """The ImageNet networks without shortcuts."""
    return resnet(x, spec)


def plain_cifar(x, spec: Spec):
    """The CIFAR-10 networks without shortcuts."""
    return resnet_cifar(x, spec)


def _stages(x, spec, widths, **options):
    if spec.block == "basic":
        return stages(x, basic_block, spec.depths, widths, shortcut=spec.shortcut, **options)
    return stages(x, bottleneck, spec.depths, widths, shortcut=spec.shortcut, stride_on=spec.stride_on, **options)


def _imagenet(depth: int, spec: Spec, *, suffix="", differences=()):
    title, body = ("ResNet", resnet) if spec.shortcut else ("Plain", plain)
    widths = (64, 128, 256, 512) if spec.block == "basic" else (256, 512, 1024, 2048)
    return Variant(
        name=f"{title.lower()}{depth}{suffix}",
        python_name=f"{title}{depth}{suffix.removeprefix('_').upper()}",
        family="resnet",
        summary=f"the {depth}-layer {'residual' if spec.shortcut else 'plain'} network for ImageNet",
        paper=PAPER,
        body=body,
        spec=spec,
        stages=stage_shapes(spec.depths, (56, 28, 14, 7), widths),
        differences=(_POOLING, *differences),
    )


def _cifar(depth: int, shortcut: str | None, *, suffix="", body=resnet_cifar, paper=PAPER, differences=()):
    n = (depth - 2) // 6
    title = "ResNet" if shortcut else "Plain"
    return Variant(
        name=f"{title.lower()}{depth}{suffix}_cifar",
        python_name=f"{title}{depth}{suffix.title().replace('_', '')}CIFAR",
        family="resnet",
        summary=f"the {depth}-layer {'residual' if shortcut else 'plain'} network for CIFAR-10",
        paper=paper,
        body=body if shortcut else plain_cifar,
        spec=Spec("basic", (n, n, n), shortcut=shortcut),
        input_shape=(32, 32, 3),
        classes=10,
        min_size=8,
        preprocessing=CIFAR_PIXELS,
        stages=stage_shapes((n, n, n), (32, 16, 8), (16, 32, 64)),
        differences=differences,
    )


def _stochastic_depth(depth: int):
    body = resnet_stochastic_depth_cifar
    differences = (
        "convolutions have no biases (authors' code: biases, which the normalisation cancels)",
        "convolutions start from a variance of 2 / fan-out (authors' code: 2 / fan-in)",
    )
    return _cifar(
        depth, "pooled", suffix="_stochastic_depth", body=body, paper=STOCHASTIC_DEPTH, differences=differences
    )


_POOLING = "max pooling pads by one (authors' Caffe files: none, last incomplete window counted)"
_V1_5 = "the bottleneck's stride is in the 3x3 convolution (paper: in the first 1x1)"

register(
    _imagenet(18, Spec("basic", (2, 2, 2, 2))),
    _imagenet(34, Spec("basic", (3, 4, 6, 3))),
    _imagenet(50, Spec("bottleneck", (3, 4, 6, 3))),
    _imagenet(101, Spec("bottleneck", (3, 4, 23, 3))),
    _imagenet(152, Spec("bottleneck", (3, 8, 36, 3))),
    _imagenet(50, Spec("bottleneck", (3, 4, 6, 3), "3x3"), suffix="_v1_5", differences=(_V1_5,)),
    _imagenet(101, Spec("bottleneck", (3, 4, 23, 3), "3x3"), suffix="_v1_5", differences=(_V1_5,)),
    _imagenet(152, Spec("bottleneck", (3, 8, 36, 3), "3x3"), suffix="_v1_5", differences=(_V1_5,)),
    _imagenet(18, Spec("basic", (2, 2, 2, 2), shortcut=None)),
    _imagenet(34, Spec("basic", (3, 4, 6, 3), shortcut=None)),
    *(_cifar(depth, "identity") for depth in (20, 32, 44, 56, 110, 1202)),
    *(_cifar(depth, None) for depth in (20, 32, 44, 56, 110)),
    *(_stochastic_depth(depth) for depth in (110, 1202)),
)
