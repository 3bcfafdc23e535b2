"""Pre-activation residual networks: normalisation and ReLU come before each convolution, and the identity stays clean.

He, Zhang, Ren and Sun 2016, "Identity Mappings in Deep Residual Networks": figure 4e, table 2 (CIFAR), table 5
(ImageNet).

* CIFAR rows follow the authors' resnet-1k-layers: no normalisation in the stem, stride in the first 1x1, and where the
  size changes a 1x1 shortcut from the first normalisation and ReLU. The 110-layer row has basic units and zero
  channels. The first unit's normalisation and ReLU come right after conv1, before the two paths part (appendix), so
  its shortcut starts from them too.
* ImageNet rows follow the form that ResNet-200 was released in (fb.resnet.torch, preresnet): normalisation and ReLU in
  the stem, so none in front of the first unit; stride in the 3x3.
* `_timm`: no normalisation in the stem, so its map is pooled before any ReLU; the first unit has its own.
* `_keras`: as `_timm`, with biases in the stem, the shortcuts and the last convolutions, the stride in the *last* unit
  of a stage, and a subsampled identity there. Layer names are those of keras.applications.
"""

import dataclasses
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.blocks.preactivation import basic, bottleneck, preactivation_unit
from kerasnets.blocks.residual import imagenet_stem, stage_shapes, units
from kerasnets.layers.edge_padding import EdgePadding2D
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Identity Mappings in Deep Residual Networks",
    "He, Zhang, Ren, Sun",
    2016,
    "https://arxiv.org/abs/1603.05027",
)
IMAGENET = (64, 128, 256, 512)
PIXELS = {
    "": Preprocessing(),
    "timm": Preprocessing(224, 0.95, "bicubic", (127.5,) * 3, (127.5,) * 3),
    "keras": Preprocessing(224, 0.875, "bilinear", (127.5,) * 3, (127.5,) * 3),
}


class Spec(NamedTuple):
    """Kind of unit and depths of the stages."""

    unit: str
    depths: tuple[int, ...]


def resnet_v2(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet, the authors' form.

    stochastic_depth: drop rate of the last unit, 0 to 1; it grows linearly from the first.
    """
    convolutions = basic if spec.unit == "basic" else bottleneck
    x = imagenet_stem(x)
    for unit in units(spec.depths, IMAGENET, stochastic_depth=stochastic_depth):
        first = unit.stage == 1 and unit.block == 0
        branch = convolutions(unit.filters, unit.stride)
        x = preactivation_unit(x, branch, name=unit.named(), activated=first, drop=unit.drop)
    return activate(batch_norm(x, name="bn"), name="relu_last")


def resnet_v2_timm(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet, timm's form.

    stochastic_depth: drop rate of the last unit, 0 to 1; it grows linearly from the first.
    """
    x = conv(x, 64, 7, 2, name="stem.conv")
    x = max_pool(EdgePadding2D(1, name="stem.pool.pad")(x), 3, 2, name="stem.pool")
    for unit in units(spec.depths, IMAGENET, stochastic_depth=stochastic_depth):
        name = unit.named("stages.{index}.blocks.{block}")
        branch = bottleneck(unit.filters, unit.stride)
        x = preactivation_unit(x, branch, name=name, shortcut="downsample.conv", norm="norm", drop=unit.drop)
    return activate(batch_norm(x, name="norm"), name="relu_last")


def resnet_v2_cifar(x, spec: Spec, *, stochastic_depth=0.0):
    """CIFAR: stem without normalisation, three stages.

    stochastic_depth: drop rate of the last unit, 0 to 1; it grows linearly from the first.
    """
    x = conv(x, 16, 3, name="conv1")
    x = activate(batch_norm(x, name="layer1.0.bn1"), name="layer1.0.relu1")
    for unit in units(spec.depths, (16, 32, 64), stochastic_depth=stochastic_depth):
        first = unit.stage == 1 and unit.block == 0
        if spec.unit == "basic":
            branch, shortcut = basic(unit.filters, unit.stride), None
        else:
            branch, shortcut = bottleneck(unit.filters, unit.stride, "1x1"), "downsample.0"
        x = preactivation_unit(x, branch, name=unit.named(), shortcut=shortcut, activated=first, drop=unit.drop)
    return activate(batch_norm(x, name="bn"), name="relu_last")


def resnet_v2_keras(x, spec: Spec):
    """ImageNet, keras.applications' form."""
    x = conv(x, 64, 7, 2, use_bias=True, name="conv1_conv")
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = max_pool(x, 3, 2, name="pool1_pool")
    for i, (depth, filters) in enumerate(zip(spec.depths, IMAGENET, strict=True)):
        for j in range(1, depth + 1):
            stride = 2 if j == depth and i < 3 else 1
            x = _keras_unit(x, filters, stride, j == 1, f"conv{i + 2}_block{j}")
    return activate(_norm(x, "post_bn"), name="post_relu")


def _keras_unit(x, filters, stride, project, name):
    y = activate(_norm(x, f"{name}_preact_bn"), name=f"{name}_preact_relu")
    if project:
        x = conv(y, 4 * filters, 1, stride, use_bias=True, name=f"{name}_0_conv")
    elif stride > 1:
        x = keras.layers.MaxPooling2D(1, stride, name=f"{name}_0_pool")(x)
    y = conv(y, filters, 1, name=f"{name}_1_conv")
    y = activate(_norm(y, f"{name}_1_bn"), name=f"{name}_1_relu")
    y = conv(y, filters, 3, stride, name=f"{name}_2_conv")
    y = activate(_norm(y, f"{name}_2_bn"), name=f"{name}_2_relu")
    y = conv(y, 4 * filters, 1, use_bias=True, name=f"{name}_3_conv")
    return keras.layers.Add(name=f"{name}_out")([x, y])


def _norm(x, name):
    return batch_norm(x, epsilon=1.001e-5, momentum=0.99, name=name)


def _imagenet(depth: int, spec: Spec, *, form="", body=resnet_v2, template="layer{stage}.{block}", differences=()):
    sizes = (28, 14, 7, 7) if form == "keras" else (56, 28, 14, 7)
    widths = IMAGENET if spec.unit == "basic" else tuple(4 * width for width in IMAGENET)
    return Variant(
        name=f"resnet{depth}_v2" + (f"_{form}" if form else ""),
        python_name=f"ResNet{depth}V2" + {"": "", "timm": "Timm", "keras": "Keras"}[form],
        family="resnet_v2",
        summary=f"the {depth}-layer pre-activation network for ImageNet",
        paper=PAPER,
        body=body,
        spec=spec,
        preprocessing=PIXELS[form],
        stages=stage_shapes(spec.depths, sizes, widths, template),
        differences=differences,
    )


def _timm(depth, spec):
    differences = ("no normalisation in the stem, whose map is pooled before any ReLU",)
    template = "stages.{index}.blocks.{block}"
    return _imagenet(depth, spec, form="timm", body=resnet_v2_timm, template=template, differences=differences)


def _keras(depth, spec):
    differences = (
        "no normalisation in the stem; biases in the stem, the shortcuts and the last convolutions",
        "the stride is in the last unit of a stage, whose shortcut is a subsampled identity",
    )
    variant = _imagenet(depth, spec, form="keras", body=resnet_v2_keras, differences=differences)
    stages = {f"conv{i + 2}_block{spec.depths[i]}_out": shape for i, shape in enumerate(variant.stages.values())}
    return dataclasses.replace(variant, stages=stages)


def _cifar(depth: int, unit: str, n: int):
    widths = (16, 32, 64) if unit == "basic" else (64, 128, 256)
    return Variant(
        name=f"resnet{depth}_v2_cifar",
        python_name=f"ResNet{depth}V2CIFAR",
        family="resnet_v2",
        summary=f"the {depth}-layer pre-activation network for CIFAR-10",
        paper=PAPER,
        body=resnet_v2_cifar,
        spec=Spec(unit, (n, n, n)),
        input_shape=(32, 32, 3),
        classes=10,
        min_size=8,
        preprocessing=Preprocessing(32, 1.0),
        stages=stage_shapes((n, n, n), (32, 16, 8), widths),
    )


register(
    _imagenet(18, Spec("basic", (2, 2, 2, 2))),
    _imagenet(34, Spec("basic", (3, 4, 6, 3))),
    _imagenet(50, Spec("bottleneck", (3, 4, 6, 3))),
    _imagenet(101, Spec("bottleneck", (3, 4, 23, 3))),
    _imagenet(152, Spec("bottleneck", (3, 8, 36, 3))),
    _imagenet(200, Spec("bottleneck", (3, 24, 36, 3))),
    _timm(50, Spec("bottleneck", (3, 4, 6, 3))),
    _keras(50, Spec("bottleneck", (3, 4, 6, 3))),
    _keras(101, Spec("bottleneck", (3, 4, 23, 3))),
    _keras(152, Spec("bottleneck", (3, 8, 36, 3))),
    _cifar(110, "basic", 18),
    _cifar(164, "bottleneck", 18),
    _cifar(1001, "bottleneck", 111),
)
