"""ResNeXt: residual networks whose 3x3 convolution is a set of many narrow paths.

Xie, Girshick, Dollár, Tu and He 2016, "Aggregated Residual Transformations for Deep Neural Networks": table 1
(ImageNet), section 5.2 (CIFAR). Columns of the rows are the paper's: cardinality C and width d of a path in the first
stage.

* The three forms of figure 3 are the same function (`blocks/aggregated.py`); the rows use the third, a grouped
  convolution.
* The authors' Torch code takes the stride in the 3x3 convolution and ends the block in addition and ReLU; the paper's
  CIFAR experiments were run with pre-activation blocks, the released ones, with better numbers, with these.
* `resnext101_32x8d` is not in the paper; it is torchvision's.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.residual import bottleneck, cifar_stem, imagenet_stem, stage_shapes, stages
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Aggregated Residual Transformations for Deep Neural Networks",
    "Xie, Girshick, Dollár, Tu, He",
    2016,
    "https://arxiv.org/abs/1611.05431",
)


class Spec(NamedTuple):
    """Columns of table 1: depths of the stages, cardinality and width of a path in the first stage."""

    depths: tuple[int, ...]
    cardinality: int
    width: int


def resnext(x, spec: Spec, *, stochastic_depth=0.0):
    """The ImageNet networks: ResNet's stem and stages.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    return _stages(imagenet_stem(x), spec, (64, 128, 256, 512), stochastic_depth)


def resnext_cifar(x, spec: Spec, *, stochastic_depth=0.0):
    """The CIFAR networks: 3x3 stem of 64 filters and three stages with outputs of 256, 512 and 1024 channels.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    return _stages(cifar_stem(x, 64), spec, (64, 128, 256), stochastic_depth)


def _stages(x, spec, filters, stochastic_depth):
    multiple = spec.cardinality * spec.width // 64
    return stages(
        x,
        bottleneck,
        spec.depths,
        filters,
        inner=(multiple, multiple),
        groups=spec.cardinality,
        stochastic_depth=stochastic_depth,
    )


def _imagenet(depth: int, spec: Spec, differences=()):
    return Variant(
        name=f"resnext{depth}_{spec.cardinality}x{spec.width}d",
        python_name=f"ResNeXt{depth}_{spec.cardinality}x{spec.width}d",
        family="resnext",
        summary=f"{depth} layers, {spec.cardinality} paths of {spec.width} channels",
        paper=PAPER,
        body=resnext,
        spec=spec,
        stages=stage_shapes(spec.depths, (56, 28, 14, 7), (256, 512, 1024, 2048)),
        differences=differences,
    )


def _cifar(spec: Spec):
    return Variant(
        name=f"resnext29_{spec.cardinality}x{spec.width}d_cifar",
        python_name=f"ResNeXt29_{spec.cardinality}x{spec.width}dCIFAR",
        family="resnext",
        summary=f"29 layers, {spec.cardinality} paths of {spec.width} channels, for CIFAR",
        paper=PAPER,
        body=resnext_cifar,
        spec=spec,
        input_shape=(32, 32, 3),
        classes=10,
        min_size=8,
        preprocessing=Preprocessing(32, 1.0),
        stages=stage_shapes(spec.depths, (32, 16, 8), (256, 512, 1024)),
        differences=("original residual blocks, as in the authors' code (paper: pre-activation)",),
    )


register(
    _imagenet(50, Spec((3, 4, 6, 3), 32, 4)),
    _imagenet(101, Spec((3, 4, 23, 3), 32, 4)),
    _imagenet(101, Spec((3, 4, 23, 3), 64, 4)),
    _imagenet(101, Spec((3, 4, 23, 3), 32, 8), ("a width that the paper does not have",)),
    _cifar(Spec((3, 3, 3), 8, 64)),
    _cifar(Spec((3, 3, 3), 16, 64)),
)
