"""Residual networks, and the plain networks they were measured against.

He, Zhang, Ren and Sun 2015, "Deep Residual Learning for Image Recognition": table 1 (ImageNet), section 4.2 (CIFAR-10).
A convolution is followed by batch normalisation and ReLU. The shortcut is added before the last ReLU.

* Stride of the bottleneck: in the first 1x1 convolution, as in the paper. In the `_v1_5` variants (fb.resnet.torch,
  torchvision, timm) it is in the 3x3 convolution, for 0.23 G more multiply-adds.
* Shortcuts where the size changes: a 1x1 convolution for ImageNet (option B), zero channels for CIFAR (option A). The
  paper does not say where the zeros go. Here half of them stand before and half behind the channels, as in the public
  CIFAR weights.
* Max pooling: the authors' Caffe files do not pad and count the last incomplete window. Here it pads by one, as in
  torchvision, timm and keras.applications. Both give 56x56.
* Stochastic depth (Huang et al. 2016): one decision for each batch. A dropped block is not computed, and branches are
  scaled at inference. The `_stochastic_depth` variants have the authors' shortcut: means of 2x2, then all zero channels
  behind the others. The authors' Lua code has biases in the convolutions, which the normalisation cancels; ours has
  none.
* Initialisation: normal with variance 2 / fan-out, one of the two forms that the paper's reference [13] allows.
"""

from collections.abc import Callable
from typing import NamedTuple

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.residual import (
    basic_block,
    bottleneck,
    bottleneck_v1,
    cifar_stem,
    imagenet_stem,
    padded_identity,
    projection,
    residual_stages,
    stage_shapes,
)
from kerasnets.layers.same_padding import AveragePooling2D
from kerasnets.layers.shortcut import PaddedIdentity
from kerasnets.registry import Paper

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


class Spec(NamedTuple):
    """Columns of table 1: kind of block, blocks and filters of each stage; then the shortcut where the size changes."""

    block: Callable
    depths: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    shortcut: Callable | None = projection


def resnet(x, spec: Spec, *, stochastic_depth=0.0, drop_mode="batch"):
    """ImageNet: 7x7 stem, 3x3 max pooling, four stages."""
    options = {"shortcut": spec.shortcut, "stochastic_depth": stochastic_depth, "drop_mode": drop_mode}
    return residual_stages(imagenet_stem(x), spec.block, spec.depths, spec.filters, **options)


def plain(x, spec: Spec):
    """ImageNet, without shortcuts."""
    return resnet(x, spec)


# Section 4.1, table 3: the shortcuts of options A, B and C.
SHORTCUTS = {
    "A": {"shortcut": padded_identity},
    "B": {"shortcut": projection},
    "C": {"shortcut": projection, "everywhere": True},
}


def resnet_cifar(x, spec: Spec, *, stochastic_depth=0.0, shortcut=None):
    """CIFAR-10, 6n+2 layers: 3x3 stem, three stages of n blocks.

    shortcut: option of section 4.1. `"A"` adds zero channels where the size changes, `"B"` has a 1x1 convolution
        there, `"C"` has one in every block. `None` is the network's own, A.
    """
    if shortcut not in (None, *SHORTCUTS):
        raise ValueError(f"`shortcut` should be 'A', 'B', 'C' or None. Received: shortcut={shortcut!r}")
    options = SHORTCUTS[shortcut] if shortcut else {"shortcut": spec.shortcut}
    stem = cifar_stem(x)
    return residual_stages(stem, spec.block, spec.depths, spec.filters, stochastic_depth=stochastic_depth, **options)


def plain_cifar(x, spec: Spec):
    """CIFAR-10, without shortcuts."""
    return resnet_cifar(x, spec)


def resnet_stochastic_depth_cifar(x, spec: Spec, *, stochastic_depth=0.5):
    """CIFAR-10, with the drop rate of Huang et al. 2016."""
    return resnet_cifar(x, spec, stochastic_depth=stochastic_depth)


def pooled_identity(x, filters, stride, *, name):
    """Shortcut of Huang et al. 2016: means of 2x2, zero channels behind the others."""
    x = AveragePooling2D(stride, padding="same", name=f"{name}.pool")(x) if stride > 1 else x
    return PaddedIdentity(filters, zeros="after", name=name)(x)


def _three_stages(n: int, shortcut=padded_identity) -> Spec:
    return Spec(basic_block, (n, n, n), (16, 32, 64), shortcut)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    data, size = ("ImageNet", 56) if len(spec.depths) == 4 else ("CIFAR-10", 32)
    convolutions, expansion = (2, 1) if spec.block is basic_block else (3, 4)
    layers = convolutions * sum(spec.depths) + 2
    return Variant(
        name=name,
        python_name=python_name,
        family="resnet",
        summary=f"the {layers}-layer {'residual' if spec.shortcut else 'plain'} network for {data}",
        spec=spec,
        feature_shapes=stage_shapes(spec.depths, size, [expansion * filters for filters in spec.filters]),
        **{"paper": PAPER, **columns},
    )


_POOLING = "max pooling pads by one (authors' Caffe files: no padding, an incomplete last window)"
_STRIDE = "the bottleneck's stride is in the 3x3 convolution (paper: in the first 1x1)"
_BIASES = "convolutions have no biases (authors' code: biases, which the normalisation cancels)"
_FAN_OUT = "convolutions start from a variance of 2 / fan-out (authors' code: 2 / fan-in)"

_V1 = {"body": resnet, "differences": (_POOLING,)}
_V1_5 = {"body": resnet, "differences": (_POOLING, _STRIDE)}
_PLAIN = {"body": plain, "differences": (_POOLING,)}
_CIFAR = {"body": resnet_cifar, **CIFAR}
_PLAIN_CIFAR = {"body": plain_cifar, **CIFAR}
_HUANG = {
    "body": resnet_stochastic_depth_cifar,
    "paper": STOCHASTIC_DEPTH,
    "differences": (_BIASES, _FAN_OUT),
    **CIFAR,
}
_110_POOLED, _1202_POOLED = _three_stages(18, pooled_identity), _three_stages(200, pooled_identity)

register(
    _variant("resnet18", "ResNet18", Spec(basic_block, (2, 2, 2, 2)), **_V1),
    _variant("resnet34", "ResNet34", Spec(basic_block, (3, 4, 6, 3)), **_V1),
    _variant("resnet50", "ResNet50", Spec(bottleneck_v1, (3, 4, 6, 3)), **_V1),
    _variant("resnet101", "ResNet101", Spec(bottleneck_v1, (3, 4, 23, 3)), **_V1),
    _variant("resnet152", "ResNet152", Spec(bottleneck_v1, (3, 8, 36, 3)), **_V1),
    _variant("resnet50_v1_5", "ResNet50V1_5", Spec(bottleneck, (3, 4, 6, 3)), **_V1_5),
    _variant("resnet101_v1_5", "ResNet101V1_5", Spec(bottleneck, (3, 4, 23, 3)), **_V1_5),
    _variant("resnet152_v1_5", "ResNet152V1_5", Spec(bottleneck, (3, 8, 36, 3)), **_V1_5),
    _variant("plain18", "Plain18", Spec(basic_block, (2, 2, 2, 2), shortcut=None), **_PLAIN),
    _variant("plain34", "Plain34", Spec(basic_block, (3, 4, 6, 3), shortcut=None), **_PLAIN),
    _variant("resnet20_cifar", "ResNet20CIFAR", _three_stages(3), **_CIFAR),
    _variant("resnet32_cifar", "ResNet32CIFAR", _three_stages(5), **_CIFAR),
    _variant("resnet44_cifar", "ResNet44CIFAR", _three_stages(7), **_CIFAR),
    _variant("resnet56_cifar", "ResNet56CIFAR", _three_stages(9), **_CIFAR),
    _variant("resnet110_cifar", "ResNet110CIFAR", _three_stages(18), **_CIFAR),
    _variant("resnet1202_cifar", "ResNet1202CIFAR", _three_stages(200), **_CIFAR),
    _variant("plain20_cifar", "Plain20CIFAR", _three_stages(3, None), **_PLAIN_CIFAR),
    _variant("plain32_cifar", "Plain32CIFAR", _three_stages(5, None), **_PLAIN_CIFAR),
    _variant("plain44_cifar", "Plain44CIFAR", _three_stages(7, None), **_PLAIN_CIFAR),
    _variant("plain56_cifar", "Plain56CIFAR", _three_stages(9, None), **_PLAIN_CIFAR),
    _variant("plain110_cifar", "Plain110CIFAR", _three_stages(18, None), **_PLAIN_CIFAR),
    _variant("resnet110_stochastic_depth_cifar", "ResNet110StochasticDepthCIFAR", _110_POOLED, **_HUANG),
    _variant("resnet1202_stochastic_depth_cifar", "ResNet1202StochasticDepthCIFAR", _1202_POOLED, **_HUANG),
)
