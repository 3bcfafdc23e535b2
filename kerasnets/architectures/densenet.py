"""DenseNet: every layer of a block reads the features of all layers before it.

Huang, Liu, van der Maaten and Weinberger 2016, "Densely Connected Convolutional Networks": table 1 (ImageNet),
section 3 (CIFAR).

* A layer is normalisation, ReLU and a 3x3 convolution of k filters; -B puts a 1x1 of 4k before it, -C halves the
  channels in the transitions.
* The stem has 2k filters in the ImageNet and BC rows, 16 in the others, as in the paper (today's Lua: always 2k).
* `dropout` stands behind every convolution but the first, as in the paper (torchvision: once a layer).
* `recompute=True` computes concatenations, normalisations and ReLUs again for the gradient instead of keeping them
  (Pleiss et al. 2017, "Memory-Efficient Implementation of DenseNets", https://arxiv.org/abs/1707.06990).
"""

import functools
from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, he_normal, max_pool
from kerasnets.blocks.head import pooled_head
from kerasnets.layers.recomputed import RecomputedConvolutions
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Densely Connected Convolutional Networks",
    "Huang, Liu, van der Maaten, Weinberger",
    2016,
    "https://arxiv.org/abs/1608.06993",
)


class Spec(NamedTuple):
    """Layers of each block, growth rate k, filters of the stem, bottleneck (B), compression (C: 0.5)."""

    depths: tuple[int, ...]
    growth: int
    stem: int
    bottleneck: bool = True
    compression: float = 0.5


class Step(NamedTuple):
    """A convolution and the normalisation before it: filters, kernel, names."""

    filters: int
    kernel: int
    norm: str
    name: str


def densenet(x, spec: Spec, *, dropout=0.0, recompute=False):
    """ImageNet: 7x7 stem and max pooling before the blocks.

    dropout: share of the features behind every convolution but the first that training drops, 0 to 1.
    recompute: whether training computes concatenations and normalisations again instead of keeping them in memory.
    """
    x = conv(x, spec.stem, 7, 2, name="features.conv0")
    x = activate(batch_norm(x, name="features.norm0"), name="features.relu0")
    x = max_pool(x, 3, 2, padding=1, name="features.pool0")
    return _blocks(x, spec, dropout, recompute)


def densenet_cifar(x, spec: Spec, *, dropout=0.0, recompute=False):
    """CIFAR: 3x3 stem without normalisation.

    dropout: share of the features behind every convolution but the first that training drops (the paper: 0.2 without
    augmentation).
    recompute: whether training computes concatenations and normalisations again instead of keeping them in memory.
    """
    return _blocks(conv(x, spec.stem, 3, name="features.conv0"), spec, dropout, recompute)


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
    """The same, of which only the inputs are kept; dropout ends a piece, for it must not be drawn again."""
    for piece in [[step] for step in steps] if dropout else [steps]:
        filters, kernels, norms, names = zip(*piece, strict=True)
        pairs, own = zip(norms, names, strict=True), f"{names[-1]}.recomputed"
        layer = RecomputedConvolutions(filters, kernels, pairs, initializer=he_normal(), name=own)
        features = [_drop(layer(features), dropout, names[-1])]
    return features[0]


def _drop(x, rate, name):
    return keras.layers.Dropout(rate, name=f"{name}.dropout")(x) if rate else x


def head(x, spec, classes, activation):
    """Global average pooling and one dense layer (`dropout` belongs to the convolutions)."""
    return pooled_head(x, spec, classes, activation)


def _imagenet(depth: int, spec: Spec):
    table, channels = {}, spec.stem
    for i, (layers, size) in enumerate(zip(spec.depths, (56, 28, 14, 7), strict=True), 1):
        channels += layers * spec.growth
        if i < 4:
            channels //= 2
            table[f"features.transition{i}.pool"] = (size // 2, size // 2, channels)
    return Variant(
        name=f"densenet{depth}",
        python_name=f"DenseNet{depth}",
        family="densenet",
        summary=f"{depth} layers, growth rate {spec.growth}, for ImageNet",
        paper=PAPER,
        body=densenet,
        head=head,
        spec=spec,
        stages={**table, "features.denseblock4": (7, 7, channels)},
    )


def _cifar(depth: int, growth: int, compressed: bool = False):
    n = (depth - 4) // 6 if compressed else (depth - 4) // 3
    spec = Spec((n, n, n), growth, 2 * growth, True, 0.5) if compressed else Spec((n, n, n), growth, 16, False, 1.0)
    return Variant(
        name=f"densenet{'_bc' if compressed else ''}{depth}_{growth}_cifar",
        python_name=f"DenseNet{'BC' if compressed else ''}{depth}_{growth}CIFAR",
        family="densenet",
        summary=f"{depth} layers, growth rate {growth}, for CIFAR",
        paper=PAPER,
        body=densenet_cifar,
        head=head,
        spec=spec,
        input_shape=(32, 32, 3),
        classes=10,
        min_size=8,
        preprocessing=Preprocessing(32, 1.0),
    )


register(
    _imagenet(121, Spec((6, 12, 24, 16), 32, 64)),
    _imagenet(161, Spec((6, 12, 36, 24), 48, 96)),
    _imagenet(169, Spec((6, 12, 32, 32), 32, 64)),
    _imagenet(201, Spec((6, 12, 48, 32), 32, 64)),
    _imagenet(264, Spec((6, 12, 64, 48), 32, 64)),
    _cifar(40, 12),
    _cifar(100, 12),
    _cifar(100, 24),
    _cifar(100, 12, compressed=True),
    _cifar(250, 24, compressed=True),
    _cifar(190, 40, compressed=True),
)
