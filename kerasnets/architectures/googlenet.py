"""GoogLeNet, the first Inception network.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich 2014, "Going Deeper with Convolutions":
figure 2 (module), table 1 (network), section 5 (auxiliary classifiers).

* The paper has local response normalisation and no batch normalisation, and 5x5 convolutions. torchvision (following
  TF-slim) normalises every convolution and has 3x3 in place of 5x5; that is `googlenet_torchvision`.
* The paper does not give the constants of the normalisation, the initialiser and the biases of 0.2 (auxiliary heads
  included). They are those of BVLC's Caffe model, the only public weights without batch normalisation. Its "xavier"
  counts the inputs alone, which Keras calls `lecun_uniform`. It divides alpha by the number of channels in the sum.
* Table 1 counts 2.7 K weights for the first convolution and 6.8 M in all. The network that it describes has 9,472 and
  6,998,552.
* The auxiliary losses count 0.3 each; this loss weight is in the recipe.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, conv, max_pool
from kerasnets.blocks.head import dropout_head, output
from kerasnets.blocks.inception import unit, width
from kerasnets.layers.local_response_norm import LocalResponseNormalization
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Going Deeper with Convolutions",
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
    2014,
    "https://arxiv.org/abs/1409.4842",
)
CAFFE_PIXELS = Preprocessing(224, 0.875, "bilinear", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "bgr")
PIXELS = Preprocessing(224, 0.875, "bilinear", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
BIAS = keras.initializers.Constant(0.2)


class Spec(NamedTuple):
    """`kernel`: the larger one of a module; `bottleneck`: figure 2b, else 2a; more in kerasnets/blocks/inception.py."""

    batch_norm: bool = False
    kernel: int = 5
    last_pool: int = 3
    gamma: bool = True
    momentum: float = 0.9
    initializer: str = "lecun_uniform"
    width: float = 1.0
    bottleneck: bool = True


# Table 1: 1x1, reduction before 3x3, 3x3, reduction before 5x5, 5x5, projection behind the pooling.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# Modules with max pooling behind them.
_POOLED = {"3b": "maxpool3", "4e": "maxpool4"}


def googlenet(x, spec: Spec):
    """Table 1: 7x7 convolution, 1x1 and 3x3 convolution, nine modules on 28x28, 14x14 and 7x7."""
    x = _unit(x, spec, 64, 7, 2, padding=3, name="conv1")
    x = max_pool(x, 3, 2, ceil=True, name="maxpool1")
    x = _normalise(x, spec, name="norm1")
    x = _unit(x, spec, 64, name="conv2")
    x = _unit(x, spec, 192, 3, name="conv3")
    x = _normalise(x, spec, name="norm2")
    x = max_pool(x, 3, 2, ceil=True, name="maxpool2")
    for module, filters in MODULES.items():
        x = inception_module(x, filters, spec, bottleneck=spec.bottleneck, name=f"inception{module}")
        if module in _POOLED:
            x = max_pool(x, 3 if module == "3b" else spec.last_pool, 2, ceil=True, name=_POOLED[module])
    return x


def inception_module(x, filters, spec: Spec = Spec(), *, bottleneck=True, name="inception"):  # noqa: B008
    """Figure 2: 1x1, 3x3 and 5x5 convolutions and max pooling side by side, concatenated.

    Args:
        x: (batch, height, width, channels), not negative.
        filters: those of a module in table 1: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection.
        spec: how convolutions are made; the default is as in the paper.
        bottleneck: `False` gives the naive module of figure 2a, without the reductions and the projection.
        name: the module's name, and its branches' first part.

    Returns:
        (batch, height, width, 1x1 + 3x3 + 5x5 + projection); in the naive module the input for the projection.
    """
    one, reduce_three, three, reduce_five, five, projection = filters
    branch1 = _unit(x, spec, one, name=f"{name}.branch1")
    branch2 = _unit(x, spec, reduce_three, name=f"{name}.branch2.0") if bottleneck else x
    branch2 = _unit(branch2, spec, three, 3, name=f"{name}.branch2.1")
    branch3 = _unit(x, spec, reduce_five, name=f"{name}.branch3.0") if bottleneck else x
    branch3 = _unit(branch3, spec, five, spec.kernel, name=f"{name}.branch3.1")
    branch4 = keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}.branch4.0")(x)
    if bottleneck:
        branch4 = _unit(branch4, spec, projection, name=f"{name}.branch4.1")
    return keras.layers.Concatenate(name=name)([branch1, branch2, branch3, branch4])


def auxiliary_head(x, name, classes, activation, spec):
    """Auxiliary classifier of section 5: (batch, 14, 14, channels) -> (batch, classes).

    5x5 averages with stride 3, a 1x1 convolution to 128 channels, a dense layer of 1024, dropout 0.7. On a map smaller
    than 5x5 the window has the map's size. torchvision averages maps of every size to 4x4.
    """
    if spec.batch_norm:
        x = keras.layers.AdaptiveAveragePooling2D(4, name=f"{name}.avgpool")(x)
    else:
        window = tuple(5 if size is None else min(5, size) for size in x.shape[1:3])
        x = keras.layers.AveragePooling2D(window, 3, name=f"{name}.avgpool")(x)
    x = _unit(x, spec, 128, name=f"{name}.conv")
    x = keras.layers.Flatten(name=f"{name}.flatten")(x)
    start = {} if spec.batch_norm else {"kernel_initializer": spec.initializer, "bias_initializer": BIAS}
    x = keras.layers.Dense(width(spec, 1024), activation="relu", name=f"{name}.fc1", **start)(x)
    x = keras.layers.Dropout(0.7, name=f"{name}.dropout")(x)
    return output(x, classes, activation, name=f"{name}.fc2")


def _unit(x, spec, filters, kernel=1, stride=1, *, name, padding="same"):
    """Convolution `<name>.conv` with a bias, or `<name>.bn` behind it, then ReLU `<name>`."""
    if spec.batch_norm:
        return unit(x, spec, filters, kernel, stride, padding, name=name)
    start = {"initializer": spec.initializer, "use_bias": True, "bias_initializer": BIAS}
    x = conv(x, width(spec, filters), kernel, stride, padding=padding, name=f"{name}.conv", **start)
    return activate(x, name=name)


def _normalise(x, spec, *, name):
    if spec.batch_norm:
        return x
    return LocalResponseNormalization(5, k=1.0, alpha=1e-4, beta=0.75, divide_alpha=True, name=name)(x)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="googlenet",
        paper=PAPER,
        body=googlenet,
        spec=spec,
        aux={"aux1": "inception4a", "aux2": "inception4d"},
        aux_head=auxiliary_head,
        feature_shapes=_SHAPES,
        **columns,
    )


# Output sizes of table 1 for a 224x224 input.
_SHAPES = {
    "conv1": (112, 112, 64),
    "maxpool1": (56, 56, 64),
    "conv3": (56, 56, 192),
    "maxpool2": (28, 28, 192),
    "inception3a": (28, 28, 256),
    "inception3b": (28, 28, 480),
    "maxpool3": (14, 14, 480),
    "inception4a": (14, 14, 512),
    "inception4b": (14, 14, 512),
    "inception4c": (14, 14, 512),
    "inception4d": (14, 14, 528),
    "inception4e": (14, 14, 832),
    "maxpool4": (7, 7, 832),
    "inception5a": (7, 7, 832),
    "inception5b": (7, 7, 1024),
}

register(
    _variant(
        "googlenet",
        "GoogLeNet",
        Spec(),
        summary="the 22-layer network that won ILSVRC 2014",
        head=dropout_head(0.4),
        preprocessing=CAFFE_PIXELS,
    ),
    _variant(
        "googlenet_torchvision",
        "GoogLeNetTorchvision",
        Spec(batch_norm=True, kernel=3, last_pool=2, initializer="he_normal"),
        summary="GoogLeNet as in torchvision",
        head=dropout_head(0.2),
        preprocessing=PIXELS,
        differences=(
            "batch normalisation after every convolution, no local response normalisation (paper: the opposite)",
            "3x3 convolutions in the branch that has 5x5 in the paper",
            "the last max pooling is 2x2 (paper: 3x3)",
            "auxiliary heads pool adaptively to 4x4 (paper: 5x5 with stride 3)",
            "dropout 0.2 before the classifier (paper: 0.4)",
        ),
    ),
)
