"""SqueezeNet.

Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
and <0.5MB model size", table 1 (v1.0), figure 2 (bypass); v1.1 from the authors' repository.

* Input size: the paper's table says 224x224, but its 111x111 map needs 227, the size of the authors' Caffe files. Here
  it is 227.
* Those files pool without padding and count the last incomplete window, and their v1.0 pads conv10, a 1x1 convolution,
  by one, so that the mean runs over a border of constants; the variants without suffix do the same. v1.1 does not pad.
* Bypass (figure 2): `_bypass` adds the input of fire3, 5, 7 and 9 to their output; `_complex_bypass` also that of
  fire2, 4, 6 and 8 through a 1x1 convolution. fire5 and fire9 add the pooled map, as in the authors' file.
* Initialisation: Caffe's "xavier", uniform with variance 1 / fan-in; conv10 normal with deviation 0.01.
* Layer names are those of the authors' files with dots for slashes, those of the `_torchvision` variants as in
  torchvision.
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.classic import conv_relu, convolutional_output
from kerasnets.blocks.convolution import conv, max_pool
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    "Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer",
    2016,
    "https://arxiv.org/abs/1602.07360",
)
CAFFE_PIXELS = Preprocessing(227, 227 / 256, "bilinear", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "bgr")


class Names(NamedTuple):
    """How a source calls its layers: those of conv1 to fire9 in order, the squeeze layers, conv10."""

    layers: tuple[str, ...]
    squeeze: str
    classifier: str


class Spec(NamedTuple):
    """Table 1: filters and kernel of conv1, modules with pooling behind them; figure 2: modules with a bypass.

    Then what depends on the source, and `fires`: filters of the squeeze layer and of each of the two expand layers of
    fire2 to fire9.
    """

    stem: tuple[int, int] = (96, 7)
    pools: tuple[int, ...] = (4, 8)
    bypass: tuple[int, ...] = ()
    conv10_padding: int = 0
    initializer: str = "lecun_uniform"
    torchvision: bool = False
    fires: tuple[tuple[int, int], ...] = (
        (16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256),
    )  # fmt: skip

    @property
    def names(self) -> Names:
        """Layer names of the source."""
        numbers = range(2, 2 + len(self.fires))
        if not self.torchvision:
            return Names(("conv1", *(f"fire{n}" for n in numbers)), "squeeze1x1", "conv10")
        # torchvision counts all layers: conv1, its ReLU and pooling are 0 to 2; a pooling behind a module is one too.
        places = (n + 1 + sum(pool < n for pool in self.pools) for n in numbers)
        return Names(("features.0", *(f"features.{place}" for place in places)), "squeeze", "classifier.1")


def squeezenet(x, spec: Spec):
    """conv1, eight fire modules and three poolings."""
    stem, *modules = spec.names.layers
    x = conv_relu(x, *spec.stem, 2, padding="valid", initializer=spec.initializer, name=stem)
    x = max_pool(x, 3, 2, ceil=True, name="pool1")
    for number, (name, (squeezed, expanded)) in enumerate(zip(modules, spec.fires, strict=True), 2):
        y = fire(x, squeezed, expanded, initializer=spec.initializer, name=name, squeeze=spec.names.squeeze)
        x = _bypass(x, y, spec, name=name) if number in spec.bypass else y
        if number in spec.pools:
            x = max_pool(x, 3, 2, ceil=True, name=f"pool{number}")
    return x


def fire(x, squeezed, expanded, *, name, squeeze="squeeze1x1", initializer="lecun_uniform"):
    """1x1 convolution to `squeezed` maps, then 1x1 and 3x3 side by side to `expanded` maps each (figure 1)."""
    x = conv_relu(x, squeezed, initializer=initializer, name=f"{name}.{squeeze}")
    ones = conv_relu(x, expanded, initializer=initializer, name=f"{name}.expand1x1")
    threes = conv_relu(x, expanded, 3, initializer=initializer, name=f"{name}.expand3x3")
    return keras.layers.Concatenate(name=f"{name}.concat")([ones, threes])


def _bypass(x, y, spec, *, name):
    """Adds the module's input `x` to its output `y`, through a 1x1 convolution where their channels differ."""
    if x.shape[-1] != y.shape[-1]:
        x = conv(x, y.shape[-1], use_bias=True, initializer=spec.initializer, name=f"{name}.bypass")
    return keras.layers.Add(name=f"{name}.add")([x, y])


def squeezenet_head(x, spec: Spec, classes, activation, *, dropout=0.5):
    """Dropout, conv10 and the mean of its maps.

    dropout: rate of dropout before conv10, 0 to 1.
    """
    x = keras.layers.Dropout(dropout, name="drop9")(x) if dropout else x
    narrow = keras.initializers.RandomNormal(0.0, 0.01)
    return convolutional_output(
        x, classes, activation, name=spec.names.classifier, padding=spec.conv10_padding, initializer=narrow
    )


def _variant(name: str, python_name: str, spec: Spec, *, side=111, **columns) -> Variant:
    """`side` is the width of conv1's map. Each pooling halves it and counts the last incomplete window."""
    (conv1, *modules), shapes = spec.names.layers, {}
    shapes[conv1] = (side, side, spec.stem[0])
    side //= 2
    for number, (module, (_, expanded)) in enumerate(zip(modules, spec.fires, strict=True), 2):
        shapes[f"{module}.concat"] = (side, side, 2 * expanded)
        side = side // 2 if number in spec.pools else side
    return Variant(
        name=name,
        python_name=python_name,
        family="squeezenet",
        paper=PAPER,
        body=squeezenet,
        head=squeezenet_head,
        spec=spec,
        feature_shapes=shapes,
        **{"input_shape": (227, 227, 3), "preprocessing": CAFFE_PIXELS, **columns},
    )


_SIZE = (
    "224x224 input, pixels in RGB order, divided by their standard deviation (authors: 227x227, BGR, mean subtracted)"
)
_PADDING = "no padding in conv10 (authors' file: 1)"
_V1_1 = {"stem": (64, 3), "pools": (3, 5)}
_TORCHVISION = {"torchvision": True, "initializer": "he_uniform"}
_AT_224 = {"input_shape": (224, 224, 3), "preprocessing": Preprocessing()}

register(
    _variant("squeezenet1_0", "SqueezeNet1_0", Spec(conv10_padding=1), summary="the paper's network"),
    _variant(
        "squeezenet1_1",
        "SqueezeNet1_1",
        Spec(**_V1_1),
        summary="the authors' second version, with 2.4 times less computation",
        side=113,
    ),
    _variant(
        "squeezenet1_0_bypass",
        "SqueezeNet1_0Bypass",
        Spec(conv10_padding=1, bypass=(3, 5, 7, 9)),
        summary="the paper's network with identity bypass",
    ),
    _variant(
        "squeezenet1_0_complex_bypass",
        "SqueezeNet1_0ComplexBypass",
        Spec(conv10_padding=1, bypass=(2, 3, 4, 5, 6, 7, 8, 9)),
        summary="the paper's network, all modules bypassed",
    ),
    _variant(
        "squeezenet1_0_torchvision",
        "SqueezeNet1_0Torchvision",
        Spec(**_TORCHVISION),
        summary="v1.0 as in torchvision",
        side=109,
        differences=(_PADDING, _SIZE),
        **_AT_224,
    ),
    _variant(
        "squeezenet1_1_torchvision",
        "SqueezeNet1_1Torchvision",
        Spec(**_V1_1, **_TORCHVISION),
        summary="v1.1 as in torchvision",
        differences=(_SIZE,),
        **_AT_224,
    ),
)
