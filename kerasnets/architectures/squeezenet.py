"""SqueezeNet.

Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
and <0.5MB model size", table 1 (v1.0), figure 2 (bypass); v1.1 from the authors' repository.

* The paper's table says 224x224, but its 111x111 map needs 227, the size of the authors' Caffe files: here 227.
* Those files pool without padding and count the last incomplete window, and their v1.0 pads conv10, a 1x1 convolution,
  by one, so that the mean runs over a border of constants; the rows without suffix do the same. v1.1 does not pad.
* Bypass: `_bypass` adds the input of fire3, 5, 7 and 9 to their output; `_complex_bypass` also that of fire2, 4, 6 and
  8 through a 1x1 convolution. fire5 and fire9 take the pooled map, as in the authors' file.
* Initialisation: Caffe's "xavier", uniform with variance 1 / fan-in; conv10 normal with deviation 0.01.
* Layers are called as in the authors' files with dots for slashes, those of the `_torchvision` rows as in torchvision.
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

# Table 1: filters of the squeeze layer and of each of the two expand layers of fire2 to fire9.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


class Spec(NamedTuple):
    """Filters and kernel of conv1, the fire modules with a pooling layer behind them, and the rest of a row."""

    stem: tuple[int, int] = (96, 7)
    pools: tuple[int, ...] = (4, 8)
    bypass: str | None = None
    conv10_padding: int = 0
    initializer: str = "lecun_uniform"
    names: str = "caffe"
    fires: tuple[tuple[int, int], ...] = FIRES


class Names(NamedTuple):
    """How a source calls its layers: those of conv1 to fire9 in order, the squeeze layer, conv10."""

    layers: tuple[str, ...]
    squeeze: str
    classifier: str


def _names(spec: Spec) -> Names:
    numbers = range(2, 2 + len(spec.fires))
    if spec.names == "caffe":
        return Names(("conv1", *(f"fire{n}" for n in numbers)), "squeeze1x1", "conv10")
    # torchvision counts every layer: conv1, ReLU and pooling are 0 to 2, and each further pooling takes a number.
    places = (n + 1 + sum(pool < n for pool in spec.pools) for n in numbers)
    return Names(("features.0", *(f"features.{place}" for place in places)), "squeeze", "classifier.1")


def squeezenet(x, spec: Spec):
    """conv1, eight fire modules and three poolings."""
    stem, *modules = _names(spec).layers
    x = conv_relu(x, *spec.stem, 2, padding="valid", initializer=spec.initializer, name=stem)
    x = max_pool(x, 3, 2, ceil=True, name="pool1")
    for number, (name, (squeezed, expanded)) in enumerate(zip(modules, spec.fires, strict=True), 2):
        y = fire(x, squeezed, expanded, initializer=spec.initializer, name=name, squeeze=_names(spec).squeeze)
        x = _bypass(x, y, number, spec, name=name)
        if number in spec.pools:
            x = max_pool(x, 3, 2, ceil=True, name=f"pool{number}")
    return x


def fire(x, squeezed, expanded, *, name, squeeze="squeeze1x1", initializer="lecun_uniform"):
    """1x1 convolution to `squeezed` maps, then 1x1 and 3x3 side by side to `expanded` maps each (figure 1)."""
    x = conv_relu(x, squeezed, initializer=initializer, name=f"{name}.{squeeze}")
    ones = conv_relu(x, expanded, initializer=initializer, name=f"{name}.expand1x1")
    threes = conv_relu(x, expanded, 3, initializer=initializer, name=f"{name}.expand3x3")
    return keras.layers.Concatenate(name=f"{name}.concat")([ones, threes])


def _bypass(x, y, number, spec, *, name):
    """Adds the module's input `x` to its output `y` where the row says so."""
    if spec.bypass is None or (spec.bypass == "simple" and number % 2 == 0):
        return y
    if number % 2 == 0:
        x = conv(x, y.shape[-1], use_bias=True, initializer=spec.initializer, name=f"{name}.bypass")
    return keras.layers.Add(name=f"{name}.add")([x, y])


def squeezenet_head(x, spec: Spec, classes, activation, *, dropout=0.5):
    """Dropout, conv10 and the mean of its maps.

    dropout: share of the last features that training drops, 0 to 1.
    """
    x = keras.layers.Dropout(dropout, name="drop9")(x) if dropout else x
    narrow = keras.initializers.RandomNormal(0.0, 0.01)
    return convolutional_output(
        x, classes, activation, name=_names(spec).classifier, padding=spec.conv10_padding, initializer=narrow
    )


def _variant(version: str, spec: Spec, summary: str, suffix: str = "", size: int = 227, differences=()) -> Variant:
    title = suffix.replace("_", " ").title().replace(" ", "")
    names = _names(spec).layers
    first = (size - spec.stem[1]) // 2 + 1
    halves = [first]
    for _ in range(3):
        halves.append(-(-(halves[-1] - 3) // 2) + 1)
    fires = {}
    for number, (name, (_, expanded)) in enumerate(zip(names[1:], spec.fires, strict=True), 2):
        side = halves[1 + sum(pool < number for pool in spec.pools)]
        fires[f"{name}.concat"] = (side, side, 2 * expanded)
    return Variant(
        name=f"squeezenet{version}{suffix}",
        python_name=f"SqueezeNet{version}{title}",
        family="squeezenet",
        summary=summary,
        paper=PAPER,
        body=squeezenet,
        head=squeezenet_head,
        spec=spec,
        input_shape=(size, size, 3),
        preprocessing=CAFFE_PIXELS if size == 227 else Preprocessing(),
        stages={names[0]: (first, first, spec.stem[0])} | fires,
        differences=differences,
    )


_V1_1 = {"stem": (64, 3), "pools": (3, 5)}
_TORCHVISION = {"names": "torchvision", "initializer": "he_uniform"}
_SIZE = "224x224 input, pixels in RGB order divided by their deviation (authors: 227x227, BGR, mean subtracted)"
_PADDING = "no padding in conv10 (authors' file: 1)"

register(
    _variant("1_0", Spec(conv10_padding=1), "the paper's network"),
    _variant("1_1", Spec(**_V1_1), "the authors' second version, with 2.4 times less computation"),
    _variant("1_0", Spec(conv10_padding=1, bypass="simple"), "the paper's network with identity bypass", "_bypass"),
    _variant(
        "1_0", Spec(conv10_padding=1, bypass="complex"), "the paper's network, all modules bypassed", "_complex_bypass"
    ),
    _variant("1_0", Spec(**_TORCHVISION), "v1.0 as torchvision has it", "_torchvision", 224, (_PADDING, _SIZE)),
    _variant("1_1", Spec(**_V1_1, **_TORCHVISION), "v1.1 as torchvision has it", "_torchvision", 224, (_SIZE,)),
)
