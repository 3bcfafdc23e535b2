"""Wide residual networks: fewer layers, more channels.

Zagoruyko and Komodakis 2016, "Wide Residual Networks": table 1 (CIFAR), section 3 (ImageNet).

* CIFAR: depth 6n+4, widening factor k; pre-activation basic units with dropout between their two convolutions; stem
  without normalisation; 1x1 shortcut from the first normalisation and ReLU. Initialised by fan-in, as in the authors'
  code.
* ImageNet (`wide_resnet50_2`): bottlenecks in the original order whose 3x3 convolution is twice as wide, the outputs as
  before; the stride in the 3x3, as in the authors' fb.resnet.torch and in torchvision.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, he_normal
from kerasnets.blocks.preactivation import basic, preactivation_unit
from kerasnets.blocks.residual import bottleneck, imagenet_stem, stage_shapes, stages, units
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Wide Residual Networks",
    "Zagoruyko, Komodakis",
    2016,
    "https://arxiv.org/abs/1605.07146",
)


class Spec(NamedTuple):
    """Depths of the stages and widening factor."""

    depths: tuple[int, ...]
    widening: int


def wide_resnet(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet: ResNet with wider 3x3 convolutions.

    stochastic_depth: drop rate of the last block, 0 to 1; it grows linearly from the first.
    """
    inner = (spec.widening, spec.widening)
    x = imagenet_stem(x)
    return stages(x, bottleneck, spec.depths, (64, 128, 256, 512), inner=inner, stochastic_depth=stochastic_depth)


def wide_resnet_cifar(x, spec: Spec, *, block_dropout=0.0, stochastic_depth=0.0):
    """CIFAR: pre-activation basic units.

    block_dropout: share of the features between a unit's convolutions that training drops (the paper: 0.3 for CIFAR,
        0.4 for SVHN).
    stochastic_depth: drop rate of the last unit, 0 to 1; it grows linearly from the first.
    """
    options = {"initializer": he_normal("fan_in"), "dropout": block_dropout}
    x = conv(x, 16, 3, name="conv1", initializer=options["initializer"])
    filters = [spec.widening * width for width in (16, 32, 64)]
    for unit in units(spec.depths, filters, stochastic_depth=stochastic_depth):
        branch = basic(unit.filters, unit.stride)
        x = preactivation_unit(x, branch, name=unit.named(), drop=unit.drop, **options)
    return activate(batch_norm(x, name="bn"), name="relu_last")


def _cifar(depth: int, k: int):
    n = (depth - 4) // 6
    return Variant(
        name=f"wide_resnet{depth}_{k}_cifar",
        python_name=f"WideResNet{depth}_{k}CIFAR",
        family="wide_resnet",
        summary=f"{depth} layers, {k} times as wide, for CIFAR",
        paper=PAPER,
        body=wide_resnet_cifar,
        spec=Spec((n, n, n), k),
        input_shape=(32, 32, 3),
        classes=10,
        min_size=8,
        preprocessing=Preprocessing(32, 1.0),
        stages=stage_shapes((n, n, n), (32, 16, 8), (16 * k, 32 * k, 64 * k)),
    )


def _imagenet(depth: int, spec: Spec):
    return Variant(
        name=f"wide_resnet{depth}_{spec.widening}",
        python_name=f"WideResNet{depth}_{spec.widening}",
        family="wide_resnet",
        summary=f"ResNet-{depth} with 3x3 convolutions {spec.widening} times as wide",
        paper=PAPER,
        body=wide_resnet,
        spec=spec,
        stages=stage_shapes(spec.depths, (56, 28, 14, 7), (256, 512, 1024, 2048)),
    )


register(
    _cifar(16, 8),
    _cifar(28, 10),
    _cifar(40, 4),
    _imagenet(50, Spec((3, 4, 6, 3), 2)),
    _imagenet(101, Spec((3, 4, 23, 3), 2)),
)
