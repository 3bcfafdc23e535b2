"""DenseNet: every layer of a block reads the features of all layers before it.

Huang, Liu, van der Maaten and Weinberger 2016, "Densely Connected Convolutional Networks": table 1 (ImageNet), section
3 (CIFAR).

* A layer is normalisation, ReLU and a 3x3 convolution of k filters. -B puts a 1x1 convolution of 4k filters before it,
  -C halves the channels in the transitions.
* The stem has 2k filters in the ImageNet and BC variants, 16 in the others, as in the paper (today's Lua: always 2k).
* `dropout` stands behind every convolution but the first, as in the paper (torchvision: once in each layer).
* `recompute=True` computes concatenations, normalisations and ReLUs again for the gradient instead of keeping them
  (Pleiss et al. 2017, "Memory-Efficient Implementation of DenseNets", https://arxiv.org/abs/1707.06990).
"""

import functools
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, he_normal, max_pool
from kerasnets.blocks.head import plain_head
from kerasnets.layers.recomputed import RecomputedConvolutions
from kerasnets.registry import Paper

PAPER = Paper(
    "Densely Connected Convolutional Networks",
    "Huang, Liu, van der Maaten, Weinberger",
    2016,
    "https://arxiv.org/abs/1608.06993",
)


class Spec(NamedTuple):
    """Layers of each block, growth rate k, filters of the stem, bottlenecks (-B), compression (-C: 0.5)."""

    depths: tuple[int, ...]
    growth: int
    stem: int
    bottleneck: bool = True
    compression: float = 0.5


class Step(NamedTuple):
    """A convolution and the normalisation before it: filters and kernel, names of both."""

    filters: int
    kernel: int
    norm: str
    name: str


def densenet(x, spec: Spec, *, dropout=0.0, recompute=False):
    """7x7 stem and max pooling before the blocks for ImageNet, 3x3 stem without normalisation for CIFAR.

    dropout: rate of dropout behind every convolution but the first, 0 to 1 (the paper: 0.2 for CIFAR without
        augmentation).
    recompute: whether training computes concatenations and normalisations again instead of keeping them in memory.
    """
    x = conv(x, spec.stem, 7, 2, name="features.conv0")
    x = activate(batch_norm(x, name="features.norm0"), name="features.relu0")
    x = max_pool(x, 3, 2, padding=1, name="features.pool0")
    return _blocks(x, spec, dropout, recompute)


def densenet_cifar(x, spec: Spec, *, dropout=0.0, recompute=False):
    return _blocks(conv(x, spec.stem, 3, name="features.conv0"), spec, dropout, recompute)


densenet_cifar.__doc__ = densenet.__doc__


def _blocks(x, spec, dropout, recompute):
    step = functools.partial(_recomputed if recompute else _plain, dropout=dropout)
    for i, depth in enumerate(spec.depths, 1):
        features = [x]
        for j in range(1, depth + 1):
            features.append(_layer(features, spec, step, f"features.denseblock{i}.denselayer{j}"))
        if i < len(spec.depths):
            name = f"features.transition{i}"
            channels = int(spec.compression * sum(f.shape[-1] for f in features))
            x = step(features, [Step(channels, 1, f"{name}.norm", f"{name}.conv")])
            x = keras.layers.AveragePooling2D(2, name=f"{name}.pool")(x)
    x = keras.layers.Concatenate(name=f"features.denseblock{len(spec.depths)}")(features)
    return activate(batch_norm(x, name=f"features.norm{len(spec.depths) + 1}"), name="features.relu")


def _layer(features, spec, step, name):
    if not spec.bottleneck:
        return step(features, [Step(spec.growth, 3, f"{name}.norm1", f"{name}.conv1")])
    narrow = Step(4 * spec.growth, 1, f"{name}.norm1", f"{name}.conv1")
    return step(features, [narrow, Step(spec.growth, 3, f"{name}.norm2", f"{name}.conv2")])


def _plain(features, steps, *, dropout):
    """Concatenation, then normalisation, ReLU and convolution for each step."""
    x = keras.layers.Concatenate(name=f"{steps[0].norm}.concat")(features) if len(features) > 1 else features[0]
    for filters, kernel, norm, name in steps:
        x = activate(batch_norm(x, name=norm), name=f"{norm}.relu")
        x = _drop(conv(x, filters, kernel, name=name), dropout, name)
    return x


def _recomputed(features, steps, *, dropout):
    """The same, but training keeps only the inputs. Dropout stays outside: a second run would drop other features."""
    for piece in [[step] for step in steps] if dropout else [steps]:
        filters, kernels, norms, names = zip(*piece, strict=True)
        pairs, own = zip(norms, names, strict=True), f"{names[-1]}.recomputed"
        layer = RecomputedConvolutions(filters, kernels, pairs, initializer=he_normal(), name=own)
        features = [_drop(layer(features), dropout, names[-1])]
    return features[0]


def _drop(x, rate, name):
    return keras.layers.Dropout(rate, name=f"{name}.dropout")(x) if rate else x


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    data = "ImageNet" if columns["body"] is densenet else "CIFAR"
    layers = sum(spec.depths) * (2 if spec.bottleneck else 1) + len(spec.depths) + 1
    return Variant(
        name=name,
        python_name=python_name,
        family="densenet",
        paper=PAPER,
        head=plain_head,
        spec=spec,
        **{"summary": f"{layers} layers, growth rate {spec.growth}, for {data}", **columns},
    )


def _imagenet(*channels: int) -> dict:
    """Body and table 1's feature shapes; `channels` are those behind the transitions and at the end."""
    layers = [f"features.transition{i}.pool" for i in (1, 2, 3)] + ["features.denseblock4"]
    shapes = {layer: (size, size, n) for layer, size, n in zip(layers, (28, 14, 7, 7), channels, strict=True)}
    return {"body": densenet, "feature_shapes": shapes}


_CIFAR = {"body": densenet_cifar, **CIFAR}
_264 = Spec((6, 12, 64, 48), 32, 64)
_264_SUMMARY = "264 layers, growth rate 32, for ImageNet"  # table 1 calls it so; it has 265
_PLAIN = {"stem": 16, "bottleneck": False, "compression": 1.0}

register(
    _variant("densenet121", "DenseNet121", Spec((6, 12, 24, 16), 32, 64), **_imagenet(128, 256, 512, 1024)),
    _variant("densenet161", "DenseNet161", Spec((6, 12, 36, 24), 48, 96), **_imagenet(192, 384, 1056, 2208)),
    _variant("densenet169", "DenseNet169", Spec((6, 12, 32, 32), 32, 64), **_imagenet(128, 256, 640, 1664)),
    _variant("densenet201", "DenseNet201", Spec((6, 12, 48, 32), 32, 64), **_imagenet(128, 256, 896, 1920)),
    _variant("densenet264", "DenseNet264", _264, summary=_264_SUMMARY, **_imagenet(128, 256, 1152, 2688)),
    _variant("densenet40_12_cifar", "DenseNet40_12CIFAR", Spec((12, 12, 12), 12, **_PLAIN), **_CIFAR),
    _variant("densenet100_12_cifar", "DenseNet100_12CIFAR", Spec((32, 32, 32), 12, **_PLAIN), **_CIFAR),
    _variant("densenet100_24_cifar", "DenseNet100_24CIFAR", Spec((32, 32, 32), 24, **_PLAIN), **_CIFAR),
    _variant("densenet_bc100_12_cifar", "DenseNetBC100_12CIFAR", Spec((16, 16, 16), 12, 24), **_CIFAR),
    _variant("densenet_bc250_24_cifar", "DenseNetBC250_24CIFAR", Spec((41, 41, 41), 24, 48), **_CIFAR),
    _variant("densenet_bc190_40_cifar", "DenseNetBC190_40CIFAR", Spec((31, 31, 31), 40, 80), **_CIFAR),
)
