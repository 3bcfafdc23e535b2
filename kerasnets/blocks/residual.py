"""Residual blocks in the original order (convolution, normalisation, ReLU), for every family that is built of them."""

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv
from kerasnets.layers.shortcut import PaddedIdentity


def basic_block(x, filters, stride, *, name, shortcut="projection"):
    """Two 3x3 convolutions (He et al. 2015, figure 5 left)."""
    y = conv(x, filters, 3, stride, name=f"{name}.conv1")
    y = batch_norm(y, name=f"{name}.bn1")
    y = activate(y, name=f"{name}.relu1")
    y = conv(y, filters, 3, name=f"{name}.conv2")
    y = batch_norm(y, name=f"{name}.bn2")
    return add_shortcut(x, y, stride, name=name, shortcut=shortcut)


def bottleneck(x, filters, stride, *, name, shortcut="projection", stride_on="3x3", width=None, groups=1, expansion=4):
    """1x1, 3x3 and 1x1 convolution, the last one `expansion` times as wide (He et al. 2015, figure 5 right).

    `width` and `groups` are those of the 3x3 convolution, `stride_on` the convolution that takes the stride.
    """
    width = width or filters
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    y = conv(x, width, 1, first, name=f"{name}.conv1")
    y = batch_norm(y, name=f"{name}.bn1")
    y = activate(y, name=f"{name}.relu1")
    y = conv(y, width, 3, second, groups=groups, name=f"{name}.conv2")
    y = batch_norm(y, name=f"{name}.bn2")
    y = activate(y, name=f"{name}.relu2")
    y = conv(y, expansion * filters, 1, name=f"{name}.conv3")
    y = batch_norm(y, name=f"{name}.bn3")
    return add_shortcut(x, y, stride, name=name, shortcut=shortcut)


def add_shortcut(x, y, stride, *, name, shortcut):
    """Adds the block's input `x` to its branch `y` and applies the last ReLU.

    `shortcut` says how `x` is fitted where the shapes differ: `"projection"` (option B: 1x1 convolution), `"identity"` (option A: no
    parameters), or `None` for a plain network that has no shortcuts at all.
    """
    if shortcut is None:
        return activate(y, name=name)
    if stride != 1 or x.shape[-1] != y.shape[-1]:
        if shortcut == "identity":
            x = PaddedIdentity(y.shape[-1], stride, name=f"{name}.downsample")(x)
        else:
            x = conv(x, y.shape[-1], 1, stride, name=f"{name}.downsample.0")
            x = batch_norm(x, name=f"{name}.downsample.1")
    return activate(keras.layers.Add(name=f"{name}.add")([x, y]), name=name)


def stages(x, block, depths, widths, *, first_stride=1, **options):
    """Stacks `depths[i]` blocks of `widths[i]` filters for each stage; a stage begins with stride 2, the first one with `first_stride`.

    Block `j` of stage `i` is called `layer<i+1>.<j>`, as in the public checkpoints.
    """
    for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for j in range(depth):
            stride = 1 if j else (first_stride if i == 0 else 2)
            x = block(x, width, stride, name=f"layer{i + 1}.{j}", **options)
    return x
