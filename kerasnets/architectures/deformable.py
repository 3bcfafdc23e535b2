"""ResNet-50 with deformable convolutions.

Dai et al. 2017, "Deformable Convolutional Networks": the three 3x3 convolutions of conv5. Zhu et al. 2018, "Deformable
ConvNets v2": all thirteen of conv3 to conv5 (its text says twelve), modulated.

* A 3x3 convolution of the same stride computes the offsets. It starts at zero, so a new v1 network is the plain one.
* These are classifiers: conv5 keeps stride 2. The papers' detectors and segmenters run it at stride 1, dilated by 2,
  and v1's detectors have four offset groups.
* v2 trains its offsets at a tenth of the learning rate. That is a setting of the recipe, not of the network.
"""

import functools
from typing import NamedTuple

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import conv, he_normal
from kerasnets.blocks.residual import bottleneck_v1, imagenet_stem, stage_shapes, units
from kerasnets.layers.deformable_conv import DeformableConv2D
from kerasnets.registry import Paper

V1 = Paper(
    "Deformable Convolutional Networks",
    "Dai, Qi, Xiong, Li, Zhang, Hu, Wei",
    2017,
    "https://arxiv.org/abs/1703.06211",
)
V2 = Paper(
    "Deformable ConvNets v2: More Deformable, Better Results",
    "Zhu, Hu, Lin, Dai",
    2018,
    "https://arxiv.org/abs/1811.11168",
)


class Spec(NamedTuple):
    """Blocks of each stage, the first stage (1 to 4) with deformable convolutions, whether they are modulated."""

    depths: tuple[int, ...]
    first: int
    modulated: bool


def deformable_resnet(x, spec: Spec, *, offset_groups=1, stochastic_depth=0.0):
    """ResNet with the stride in the first 1x1 convolution.

    offset_groups: number of channel groups that have offsets of their own.
    """
    deformable = functools.partial(deformable_conv, modulated=spec.modulated, offset_groups=offset_groups)
    x = imagenet_stem(x)
    for unit in units(spec.depths, (64, 128, 256, 512), stochastic_depth=stochastic_depth):
        conv3x3 = deformable if unit.stage >= spec.first else conv
        x = bottleneck_v1(x, unit.filters, unit.stride, name=unit.named(), conv3x3=conv3x3, drop=unit.drop)
    return x


def deformable_conv(x, filters, kernel, stride, *, name, modulated, offset_groups, groups=1):
    """Deformable convolution and the plain one that computes its offsets (and, modulated, its weights)."""
    channels = (3 if modulated else 2) * kernel**2 * offset_groups
    offsets = conv(x, channels, kernel, stride, use_bias=True, initializer="zeros", name=f"{name}.conv_offset")
    options = {"groups": groups, "offset_groups": offset_groups, "modulated": modulated}
    layer = DeformableConv2D(filters, kernel, stride, kernel_initializer=he_normal(), name=name, **options)
    return layer([x, offsets])


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="deformable",
        body=deformable_resnet,
        spec=spec,
        feature_shapes=stage_shapes(spec.depths, 56, (256, 512, 1024, 2048)),
        differences=(_STRIDE,),
        **columns,
    )


_STRIDE = "a classifier: conv5 has stride 2 and no dilation (papers' detectors: stride 1, dilated by 2)"
_CONV5 = {"summary": "ResNet-50 with deformable convolutions in conv5", "paper": V1}
_CONV3_TO_5 = {"summary": "ResNet-50 with modulated deformable convolutions in conv3 to conv5", "paper": V2}

register(
    _variant("resnet50_dcn", "ResNet50DCN", Spec((3, 4, 6, 3), 4, False), **_CONV5),
    _variant("resnet50_dcn_v2", "ResNet50DCNV2", Spec((3, 4, 6, 3), 2, True), **_CONV3_TO_5),
)
