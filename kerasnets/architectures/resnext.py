"""ResNeXt: residual networks whose 3x3 convolution is a set of many narrow paths.

Xie, Girshick, Dollár, Tu and He 2016, "Aggregated Residual Transformations for Deep Neural Networks": table 1
(ImageNet), section 5.2 (CIFAR).

* The paper gives three forms of the block that compute the same (figure 3). Here it is the third, a grouped
  convolution.
* The stride is in the 3x3 convolution, and the block ends in addition and ReLU, as in the authors' Torch code. The
  paper's CIFAR experiments used pre-activation blocks; the released CIFAR networks use these, with better results.
* `resnext101_32x8d` is torchvision's; the paper does not have it.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.residual import bottleneck, cifar_stem, imagenet_stem, residual_stages, stage_shapes
from kerasnets.registry import Paper

PAPER = Paper(
    "Aggregated Residual Transformations for Deep Neural Networks",
    "Xie, Girshick, Dollár, Tu, He",
    2016,
    "https://arxiv.org/abs/1611.05431",
)


class Spec(NamedTuple):
    """Columns of table 1: blocks of each stage, cardinality C, width d of a path in the first stage."""

    depths: tuple[int, ...]
    cardinality: int
    width: int


def resnext(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet: ResNet's stem and stages."""
    return _stages(imagenet_stem(x), spec, (64, 128, 256, 512), stochastic_depth)


def resnext_cifar(x, spec: Spec, *, stochastic_depth=0.0):
    """CIFAR: 3x3 stem of 64 filters, three stages with outputs of 256, 512 and 1024 channels."""
    return _stages(cifar_stem(x, 64), spec, (64, 128, 256), stochastic_depth)


def _stages(x, spec, filters, stochastic_depth):
    multiplier = spec.cardinality * spec.width // 64
    options = {"width_multipliers": (multiplier, multiplier), "groups": spec.cardinality}
    return residual_stages(x, bottleneck, spec.depths, filters, stochastic_depth=stochastic_depth, **options)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    body, size, data = (resnext, 56, "") if len(spec.depths) == 4 else (resnext_cifar, 32, ", for CIFAR")
    layers = 3 * sum(spec.depths) + 2
    return Variant(
        name=name,
        python_name=python_name,
        family="resnext",
        summary=f"{layers} layers, {spec.cardinality} paths of {spec.width} channels{data}",
        paper=PAPER,
        body=body,
        spec=spec,
        feature_shapes=stage_shapes(spec.depths, size, (256, 512, 1024, 2048)[: len(spec.depths)]),
        **columns,
    )


_WIDTH = "a width that the paper does not have"
_ORDER = "original residual blocks, as in the authors' code (paper: pre-activation)"
_CIFAR = {"differences": (_ORDER,), **CIFAR}

register(
    _variant("resnext50_32x4d", "ResNeXt50_32x4d", Spec((3, 4, 6, 3), 32, 4)),
    _variant("resnext101_32x4d", "ResNeXt101_32x4d", Spec((3, 4, 23, 3), 32, 4)),
    _variant("resnext101_64x4d", "ResNeXt101_64x4d", Spec((3, 4, 23, 3), 64, 4)),
    _variant("resnext101_32x8d", "ResNeXt101_32x8d", Spec((3, 4, 23, 3), 32, 8), differences=(_WIDTH,)),
    _variant("resnext29_8x64d_cifar", "ResNeXt29_8x64dCIFAR", Spec((3, 3, 3), 8, 64), **_CIFAR),
    _variant("resnext29_16x64d_cifar", "ResNeXt29_16x64dCIFAR", Spec((3, 3, 3), 16, 64), **_CIFAR),
)
