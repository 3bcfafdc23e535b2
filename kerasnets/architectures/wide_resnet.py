"""Wide residual networks: fewer layers, more channels.

Zagoruyko and Komodakis 2016, "Wide Residual Networks": table 1 (CIFAR), section 3 (ImageNet).

* CIFAR: 6n+4 layers, widening factor k. Pre-activation basic units with dropout between their two convolutions, a stem
  without normalisation, a 1x1 shortcut from the first normalisation and ReLU. Convolutions start from a variance of 2 /
  fan-in, as in the authors' code.
* ImageNet: bottlenecks in the original order. Their 3x3 convolution is k times as wide, their output is not. The stride
  is in the 3x3 convolution, as in the authors' code (fb.resnet.torch) and in torchvision.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, he_normal
from kerasnets.blocks.preactivation import basic, preactivation_unit
from kerasnets.blocks.residual import bottleneck, imagenet_stem, residual_stages, stage_shapes, units
from kerasnets.registry import Paper

PAPER = Paper(
    "Wide Residual Networks",
    "Zagoruyko, Komodakis",
    2016,
    "https://arxiv.org/abs/1605.07146",
)


class Spec(NamedTuple):
    """Blocks of each stage, widening factor k."""

    depths: tuple[int, ...]
    widening: int


def wide_resnet(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet: ResNet with wider inner convolutions."""
    options = {"width_multipliers": (spec.widening, spec.widening), "stochastic_depth": stochastic_depth}
    return residual_stages(imagenet_stem(x), bottleneck, spec.depths, (64, 128, 256, 512), **options)


def wide_resnet_cifar(x, spec: Spec, *, block_dropout=0.0, stochastic_depth=0.0):
    """CIFAR: pre-activation basic units.

    block_dropout: rate of dropout between the two convolutions of a block, 0 to 1 (the paper: 0.3 for CIFAR, 0.4 for
        SVHN).
    """
    options = {"initializer": he_normal("fan_in"), "dropout": block_dropout}
    x = conv(x, 16, 3, name="conv1", initializer=options["initializer"])
    filters = [spec.widening * width for width in (16, 32, 64)]
    for unit in units(spec.depths, filters, stochastic_depth=stochastic_depth):
        branch = basic(unit.filters, unit.stride)
        x = preactivation_unit(x, branch, name=unit.named(), drop=unit.drop, **options)
    return activate(batch_norm(x, name="bn"), name="relu_last")


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    k = spec.widening
    if len(spec.depths) == 3:
        body, size, widths = wide_resnet_cifar, 32, (16 * k, 32 * k, 64 * k)
        summary = f"{2 * sum(spec.depths) + 4} layers, {k} times as wide, for CIFAR"
    else:
        body, size, widths = wide_resnet, 56, (256, 512, 1024, 2048)
        summary = f"ResNet-{3 * sum(spec.depths) + 2} with 3x3 convolutions {k} times as wide"
    return Variant(
        name=name,
        python_name=python_name,
        family="wide_resnet",
        summary=summary,
        paper=PAPER,
        body=body,
        spec=spec,
        feature_shapes=stage_shapes(spec.depths, size, widths),
        **columns,
    )


register(
    _variant("wide_resnet16_8_cifar", "WideResNet16_8CIFAR", Spec((2, 2, 2), 8), **CIFAR),
    _variant("wide_resnet28_10_cifar", "WideResNet28_10CIFAR", Spec((4, 4, 4), 10), **CIFAR),
    _variant("wide_resnet40_4_cifar", "WideResNet40_4CIFAR", Spec((6, 6, 6), 4), **CIFAR),
    _variant("wide_resnet50_2", "WideResNet50_2", Spec((3, 4, 6, 3), 2)),
    _variant("wide_resnet101_2", "WideResNet101_2", Spec((3, 4, 23, 3), 2)),
)
