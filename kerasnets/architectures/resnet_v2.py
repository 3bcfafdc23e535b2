"""Pre-activation residual networks: normalisation and ReLU come before each convolution, and the identity stays clean.

He, Zhang, Ren and Sun 2016, "Identity Mappings in Deep Residual Networks": figure 4e, table 2 (CIFAR), table 5
(ImageNet).

* `_cifar`: the authors' resnet-1k-layers. No normalisation in the stem, the stride in the first 1x1 convolution. Where
  the size changes, a 1x1 shortcut reads the first normalisation and ReLU; with 110 layers the units are basic and the
  shortcut has zero channels. The first unit's normalisation and ReLU come right after conv1, before the two paths part
  (appendix), so its shortcut starts from them too.
* ImageNet: the form in which ResNet-200 was released (fb.resnet.torch, preresnet). Normalisation and ReLU in the stem,
  so none in front of the first unit; the stride in the 3x3 convolution.
* `_timm`: no normalisation in the stem, so its map is pooled before any ReLU; the first unit has its own.
* `_keras`: as `_timm`, with biases in the stem, the shortcuts and the last convolutions, the stride in the *last* unit
  of a stage, and a subsampled identity there. Layer names are those of keras.applications.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, max_pool
from kerasnets.blocks.preactivation import basic, bottleneck, bottleneck_v1, preactivation_unit
from kerasnets.blocks.residual import imagenet_stem, stage_shapes, units
from kerasnets.layers.edge_padding import EdgePadding2D
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Identity Mappings in Deep Residual Networks",
    "He, Zhang, Ren, Sun",
    2016,
    "https://arxiv.org/abs/1603.05027",
)
TIMM_PIXELS = Preprocessing(224, 0.95, "bicubic", (127.5,) * 3, (127.5,) * 3)
KERAS_PIXELS = Preprocessing(224, 0.875, "bilinear", (127.5,) * 3, (127.5,) * 3)
TIMM_NAMES = "stages.{index}.blocks.{block}"


class Spec(NamedTuple):
    """Kind of unit, units and filters of each stage, own name of the 1x1 shortcuts (`None`: zero channels instead)."""

    unit: Callable
    depths: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    shortcut: str | None = "downsample.0"


def resnet_v2(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet, the authors' form."""
    return _units(imagenet_stem(x), spec, stochastic_depth)


def resnet_v2_cifar(x, spec: Spec, *, stochastic_depth=0.0):
    """CIFAR: 3x3 stem, three stages. Normalisation and ReLU of the first unit come before its shortcut."""
    x = conv(x, 16, 3, name="conv1")
    x = activate(batch_norm(x, name="layer1.0.bn1"), name="layer1.0.relu1")
    return _units(x, spec, stochastic_depth)


def resnet_v2_timm(x, spec: Spec, *, stochastic_depth=0.0):
    """ImageNet, timm's form."""
    x = conv(x, 64, 7, 2, name="stem.conv")
    x = max_pool(EdgePadding2D(1, name="stem.pool.pad")(x), 3, 2, name="stem.pool")
    return _units(x, spec, stochastic_depth, activated=False, template=TIMM_NAMES, norm="norm")


def _units(x, spec, stochastic_depth, *, activated=True, template="layer{stage}.{block}", norm="bn"):
    """All units, then normalisation and ReLU; `activated` tells that the stem ends in them too."""
    for unit in units(spec.depths, spec.filters, stochastic_depth=stochastic_depth):
        options = {"shortcut": spec.shortcut, "norm": norm, "activated": activated, "drop": unit.drop}
        x = preactivation_unit(x, spec.unit(unit.filters, unit.stride), name=unit.named(template), **options)
        activated = False
    return activate(batch_norm(x, name=norm), name="relu_last")


def resnet_v2_keras(x, spec: Spec):
    """ImageNet, keras.applications' form."""
    x = conv(x, 64, 7, 2, use_bias=True, name="conv1_conv")
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = max_pool(x, 3, 2, name="pool1_pool")
    for i, (depth, filters) in enumerate(zip(spec.depths, spec.filters, strict=True)):
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


def _variant(name: str, python_name: str, spec: Spec, *, template="layer{stage}.{block}", **columns) -> Variant:
    data, size = ("ImageNet", 56) if len(spec.depths) == 4 else ("CIFAR-10", 32)
    convolutions, expansion = (2, 1) if spec.unit is basic else (3, 4)
    layers = convolutions * sum(spec.depths) + 2
    widths = [expansion * filters for filters in spec.filters]
    return Variant(
        name=name,
        python_name=python_name,
        family="resnet_v2",
        summary=f"the {layers}-layer pre-activation network for {data}",
        paper=PAPER,
        spec=spec,
        **{"body": resnet_v2, "feature_shapes": stage_shapes(spec.depths, size, widths, template), **columns},
    )


def _keras_shapes(depths) -> dict[str, tuple[int, int, int]]:
    """Output of each stage; a stage halves the size at its end, the last one does not."""
    sizes_and_widths = zip(depths, (28, 14, 7, 7), (256, 512, 1024, 2048), strict=True)
    return {f"conv{i}_block{depth}_out": (size, size, w) for i, (depth, size, w) in enumerate(sizes_and_widths, 2)}


_STEM = "no batch normalisation and no ReLU in the stem, before its pooling"
_BIASES = "no normalisation in the stem; biases in the stem, the shortcuts and the last convolutions"
_STRIDE = "the stride is in the last unit of a stage, whose shortcut is a subsampled identity"
_CIFAR = {"body": resnet_v2_cifar, **CIFAR}
_TIMM = {"body": resnet_v2_timm, "preprocessing": TIMM_PIXELS, "differences": (_STEM,), "template": TIMM_NAMES}
_KERAS = {"body": resnet_v2_keras, "preprocessing": KERAS_PIXELS, "differences": (_BIASES, _STRIDE)}
_50, _101, _152 = (Spec(bottleneck, depths) for depths in ((3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)))
_WIDTHS = (16, 32, 64)

register(
    _variant("resnet18_v2", "ResNet18V2", Spec(basic, (2, 2, 2, 2))),
    _variant("resnet34_v2", "ResNet34V2", Spec(basic, (3, 4, 6, 3))),
    _variant("resnet50_v2", "ResNet50V2", _50),
    _variant("resnet101_v2", "ResNet101V2", _101),
    _variant("resnet152_v2", "ResNet152V2", _152),
    _variant("resnet200_v2", "ResNet200V2", Spec(bottleneck, (3, 24, 36, 3))),
    _variant("resnet50_v2_timm", "ResNet50V2Timm", _50._replace(shortcut="downsample.conv"), **_TIMM),
    _variant("resnet50_v2_keras", "ResNet50V2Keras", _50, feature_shapes=_keras_shapes(_50.depths), **_KERAS),
    _variant("resnet101_v2_keras", "ResNet101V2Keras", _101, feature_shapes=_keras_shapes(_101.depths), **_KERAS),
    _variant("resnet152_v2_keras", "ResNet152V2Keras", _152, feature_shapes=_keras_shapes(_152.depths), **_KERAS),
    _variant("resnet110_v2_cifar", "ResNet110V2CIFAR", Spec(basic, (18, 18, 18), _WIDTHS, None), **_CIFAR),
    _variant("resnet164_v2_cifar", "ResNet164V2CIFAR", Spec(bottleneck_v1, (18, 18, 18), _WIDTHS), **_CIFAR),
    _variant("resnet1001_v2_cifar", "ResNet1001V2CIFAR", Spec(bottleneck_v1, (111, 111, 111), _WIDTHS), **_CIFAR),
)
