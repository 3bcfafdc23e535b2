"""Residual networks, and the plain networks they were measured against.

He, Zhang, Ren and Sun 2015, "Deep Residual Learning for Image Recognition": table 1 (ImageNet), section 4.2 (CIFAR-10).
A convolution is followed by batch normalisation and ReLU; the shortcut is added before the last ReLU.

* The paper's bottleneck takes its stride in the first 1x1 convolution; the `_v1_5` rows (fb.resnet.torch, torchvision, timm) take it in
  the 3x3, for 0.23 G more multiply-adds.
* Where the size changes, ImageNet rows project with a 1x1 convolution (option B) and CIFAR rows pad with zeros (option A). The paper
  does not say where the zeros go: here half before, half behind the channels, as in the public CIFAR weights.
* Pooling: the authors' Caffe files pool without padding and count the last incomplete window; all rows here pad by one, as
  torchvision, timm and keras.applications do. Both give 56x56.
* Initialisation: normal with variance 2 / fan-out, one of the two forms that the paper's reference [12] allows.
"""

from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.blocks.residual import basic_block, bottleneck, stages
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Deep Residual Learning for Image Recognition",
    "He, Zhang, Ren, Sun",
    2015,
    "https://arxiv.org/abs/1512.03385",
)
CIFAR_PIXELS = Preprocessing(32, 1.0)


class Spec(NamedTuple):
    """Columns of the paper's table 1."""

    block: str
    depths: tuple[int, ...]
    stride_on: str = "1x1"
    shortcut: str | None = "projection"


def resnet(x, spec: Spec):
    """The ImageNet networks: 7x7 stem, 3x3 max pooling, four stages of 64 to 512 filters."""
    x = conv(x, 64, 7, 2, name="conv1")
    x = activate(batch_norm(x, name="bn1"), name="relu")
    x = max_pool(x, 3, 2, padding=1, name="maxpool")
    return _stages(x, spec, (64, 128, 256, 512))


def resnet_cifar(x, spec: Spec):
    """The CIFAR-10 networks of 6n+2 layers: 3x3 stem, three stages of n blocks with 16, 32 and 64 filters."""
    x = conv(x, 16, 3, name="conv1")
    x = activate(batch_norm(x, name="bn1"), name="relu")
    return _stages(x, spec, (16, 32, 64))


def _stages(x, spec, widths):
    if spec.block == "basic":
        return stages(x, basic_block, spec.depths, widths, shortcut=spec.shortcut)
    return stages(x, bottleneck, spec.depths, widths, shortcut=spec.shortcut, stride_on=spec.stride_on)


# Stage outputs of table 1 for a 224x224 input: (height = width, basic channels, bottleneck channels).
_TABLE_1 = ((56, 64, 256), (28, 128, 512), (14, 256, 1024), (7, 512, 2048))


def _imagenet(depth: int, spec: Spec, *, name="resnet", suffix="", departures=()):
    channels = 1 if spec.block == "basic" else 2
    table = {f"layer{i + 1}.{n - 1}": (row[0], row[0], row[channels]) for i, (n, row) in enumerate(zip(spec.depths, _TABLE_1, strict=True))}
    title = {"resnet": "ResNet", "plain": "Plain"}[name]
    return Variant(
        name=f"{name}{depth}{suffix}",
        python_name=f"{title}{depth}{suffix.removeprefix('_').upper()}",
        family="resnet",
        summary=f"the {depth}-layer {'residual' if spec.shortcut else 'plain'} network for ImageNet",
        paper=PAPER,
        body=resnet,
        spec=spec,
        stages=table,
        departures=("max pooling pads by one (authors' Caffe files: no padding, last incomplete window counted)", *departures),
    )


def _cifar(depth: int, shortcut: str | None):
    n = (depth - 2) // 6
    title = "ResNet" if shortcut else "Plain"
    return Variant(
        name=f"{title.lower()}{depth}_cifar",
        python_name=f"{title}{depth}CIFAR",
        family="resnet",
        summary=f"the {depth}-layer {'residual' if shortcut else 'plain'} network for CIFAR-10",
        paper=PAPER,
        body=resnet_cifar,
        spec=Spec("basic", (n, n, n), shortcut=shortcut),
        input_shape=(32, 32, 3),
        classes=10,
        min_size=8,
        preprocessing=CIFAR_PIXELS,
        stages={f"layer{i + 1}.{n - 1}": size for i, size in enumerate(((32, 32, 16), (16, 16, 32), (8, 8, 64)))},
    )


_V1_5 = "the bottleneck's stride is in the 3x3 convolution (paper: in the first 1x1)"

register(
    _imagenet(18, Spec("basic", (2, 2, 2, 2))),
    _imagenet(34, Spec("basic", (3, 4, 6, 3))),
    _imagenet(50, Spec("bottleneck", (3, 4, 6, 3))),
    _imagenet(101, Spec("bottleneck", (3, 4, 23, 3))),
    _imagenet(152, Spec("bottleneck", (3, 8, 36, 3))),
    _imagenet(50, Spec("bottleneck", (3, 4, 6, 3), "3x3"), suffix="_v1_5", departures=(_V1_5,)),
    _imagenet(101, Spec("bottleneck", (3, 4, 23, 3), "3x3"), suffix="_v1_5", departures=(_V1_5,)),
    _imagenet(152, Spec("bottleneck", (3, 8, 36, 3), "3x3"), suffix="_v1_5", departures=(_V1_5,)),
    _imagenet(18, Spec("basic", (2, 2, 2, 2), shortcut=None), name="plain"),
    _imagenet(34, Spec("basic", (3, 4, 6, 3), shortcut=None), name="plain"),
    *(_cifar(depth, "identity") for depth in (20, 32, 44, 56, 110, 1202)),
    *(_cifar(depth, None) for depth in (20, 32, 44, 56, 110)),
)
