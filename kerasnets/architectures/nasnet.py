"""NASNet-A: a normal and a reduction cell that were searched on CIFAR-10, stacked for CIFAR-10 and ImageNet.

Zoph, Vasudevan, Shlens and Le 2017, "Learning Transferable Architectures for Scalable Image Recognition", figures 2 and
4, appendix A.3 and A.4. What the text does not say is as in the authors' code (tensorflow/models, research/slim,
nasnet).

* N@P: N normal cells in each of three stages, P filters before the classifier. A cell of the first stage has F = P / 24
  filters, twice as many after each reduction.
* Layer names are those of timm's `nasnetalarge`. A cell's output has the name of the cell.
* The fourth sum of the normal cell adds the same average pooling of the same tensor twice. With dropped paths the two
  differ.
* The second input of the first cell after a reduction: in the large network the output of the layer before the layer
  before the reduction (`skip_reduction`), in the small ones the input of the reduction.
* ScheduledDropPath: every path but an identity is dropped with probability `drop_path` * (cell / cells) * (share of the
  training that is done). A trainer sets the share with `kerasnets.layers.scheduled_drop_path.set_training_progress`.
* Pooling pads as TensorFlow, with which the public weights were trained: the zeros never win a maximum and are not
  counted in a mean. Where the stride is 2, timm counts the zeros in the mean, keras.applications in mean and maximum.
* In the first cell of the CIFAR network both inputs are the stem, which is wider than the cell. As in the authors'
  code, 1x1 convolutions fit it wherever it is added or joined (12,544 parameters).
* CIFAR-10 has settings of its own in the authors' code: batch normalisation with momentum 0.9 and epsilon 1e-5
  (ImageNet: 0.9997 and 1e-3), and no dropout before the classifier (ImageNet: 0.5).
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import CIFAR, Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, depthwise_conv
from kerasnets.blocks.head import dropout_head, output
from kerasnets.layers.same_padding import AveragePooling2D, SameZeroPadding2D
from kerasnets.layers.scheduled_drop_path import ScheduledDropPath, TrainingProgress
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Learning Transferable Architectures for Scalable Image Recognition",
    "Zoph, Vasudevan, Shlens, Le",
    2017,
    "https://arxiv.org/abs/1707.07012",
)
HALF = (127.5, 127.5, 127.5)
PIXELS = Preprocessing(224, 0.875, "bilinear", HALF, HALF)
LARGE_PIXELS = Preprocessing(331, 0.911, "bicubic", HALF, HALF)


class Spec(NamedTuple):
    """N, F, filters of the stem, whether the stem has two reduction cells; then see the head of this file.

    `counts_zeros` are the kinds of pooling with stride 2 that count the padded zeros: `"avg"`, `"max"`. `epsilon` and
    `momentum` are those of batch normalisation.
    """

    cells: int
    filters: int
    stem: int
    stem_cells: bool = True
    skip_reduction: bool = False
    drop_path: float = 0.0
    counts_zeros: tuple[str, ...] = ()
    epsilon: float = 1e-3
    momentum: float = 0.9997


class Place(NamedTuple):
    """What a cell needs to know: its name and filters, whether it follows a reduction, the drop rate of its paths.

    `progress` is the share of the training that is done, `spec` the network's.
    """

    name: str
    filters: int
    after_reduction: bool
    drop: float
    progress: object
    spec: Spec


def plan(spec: Spec) -> list[tuple[str, int]]:
    """Lists all cells as (name, filters), from the image to the classifier."""
    cells = [("cell_stem_0", spec.filters // 4), ("cell_stem_1", spec.filters // 2)] if spec.stem_cells else []
    for stage in range(3):
        filters = spec.filters * 2**stage
        if stage:
            cells.append((f"reduction_cell_{stage - 1}", filters))
        cells += [(f"cell_{stage * spec.cells + index}", filters) for index in range(spec.cells)]
    return cells


def nasnet(x, spec: Spec, *, drop_path=None):
    """Stem, three stages of normal cells with reduction cells between them, and a last ReLU.

    drop_path: drop rate of the last cell's paths at the end of training, at least 0 and less than 1; `None` is the
        paper's rate.
    """
    drop_path = spec.drop_path if drop_path is None else drop_path
    if not 0 <= drop_path < 1:
        raise ValueError(f"`drop_path` should be at least 0 and less than 1. Received: drop_path={drop_path!r}")
    progress = TrainingProgress(name="training_progress")(x) if drop_path else None
    stride, padding = (2, "valid") if spec.stem_cells else (1, "same")
    x = norm(conv(x, spec.stem, 3, stride, padding=padding, name="conv0.conv"), spec, name="conv0.bn")
    outputs, cells, reduced = [None, x], plan(spec), False
    for number, (name, filters) in enumerate(cells, 1):
        place = Place(name, filters, reduced, drop_path * number / len(cells), progress, spec)
        skips = spec.skip_reduction and cells[number - 2][0].startswith("reduction")
        reduced = not name.startswith("cell") or "stem" in name
        cell = reduction_cell if reduced else normal_cell
        outputs.append(cell(outputs[-1], outputs[-3 if skips else -2], place))
    return activate(outputs[-1], name="act")


def normal_cell(x, previous, place: Place):
    """Figure 4, left: five sums, joined with the previous cell's output."""
    h, p = inputs_of(x, previous, place)
    y = [
        add(0, separable(h, 5, 1, "0_left", place), separable(p, 3, 1, "0_right", place), place),
        add(1, separable(p, 5, 1, "1_left", place), separable(p, 3, 1, "1_right", place), place),
        add(2, pool(h, "avg", 1, "2_left", place), fitted(p, "2_right", place, "relu"), place),
        add(3, pool(p, "avg", 1, "3_left", place), pool(p, "avg", 1, "3_right", place), place),
        add(4, separable(h, 3, 1, "4_left", place), h, place),
    ]
    return keras.layers.Concatenate(name=place.name)([fitted(p, "p", place), *y])


def reduction_cell(x, previous, place: Place):
    """Figure 4, right: five sums. All operations on the cell's inputs have stride 2."""
    h, p = inputs_of(x, previous, place)
    first = add(0, separable(h, 5, 2, "0_left", place), separable(p, 7, 2, "0_right", place), place)
    y = [
        add(1, pool(h, "max", 2, "1_left", place), separable(p, 7, 2, "1_right", place), place),
        add(2, pool(h, "avg", 2, "2_left", place), separable(p, 5, 2, "2_right", place), place),
    ]
    y.append(add(3, y[0], pool(first, "avg", 1, "3_right", place), place))
    y.append(add(4, separable(first, 3, 1, "4_left", place), pool(h, "max", 2, "4_right", place), place))
    return keras.layers.Concatenate(name=place.name)(y)


def inputs_of(x, previous, place: Place):
    """Returns the last output and the one before it, both as (batch, height, width, filters)."""
    name, h = place.name, activate(x, name=f"{place.name}.act")
    h = norm(conv(h, place.filters, 1, name=f"{name}.conv_1x1.conv"), place.spec, name=f"{name}.conv_1x1.bn")
    if previous is None:  # the first cell: its second input is the stem, which may be wider
        return h, x
    p = activate(previous, name=f"{name}.act_prev")
    if place.after_reduction:
        return h, factorized_reduction(p, place)
    if previous.shape[-1] == place.filters:
        return h, previous
    p = conv(p, place.filters, 1, name=f"{name}.conv_prev_1x1.conv")
    return h, norm(p, place.spec, name=f"{name}.conv_prev_1x1.bn")


def factorized_reduction(x, place: Place):
    """Halves height and width. Two subsamplings, one pixel apart, give half of the filters each."""
    name, half = place.name, place.filters // 2
    y = keras.layers.AveragePooling2D(1, 2, name=f"{name}.path_1.avgpool")(x)
    y = conv(y, half, 1, name=f"{name}.path_1.conv")
    z = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}.path_2.pad")(x)
    z = keras.layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}.path_2.crop")(z)
    z = keras.layers.AveragePooling2D(1, 2, name=f"{name}.path_2.avgpool")(z)
    z = conv(z, place.filters - half, 1, name=f"{name}.path_2.conv")
    y = keras.layers.Concatenate(name=f"{name}.paths")([y, z])
    return norm(y, place.spec, name=f"{name}.final_path_bn")


def separable(x, kernel, stride, position, place: Place):
    """ReLU, depthwise and pointwise convolution and batch normalisation, all twice; the first has the stride."""
    name = f"{place.name}.comb_iter_{position}"
    for number, step in ((1, stride), (2, 1)):
        x = activate(x, name=f"{name}.act_{number}")
        x = depthwise_conv(x, kernel, step, padding="same", name=f"{name}.separable_{number}.depthwise_conv2d")
        x = conv(x, place.filters, 1, name=f"{name}.separable_{number}.pointwise_conv2d")
        x = norm(x, place.spec, name=f"{name}.bn_sep_{number}")
    return dropped(x, name, place)


def pool(x, kind, stride, position, place: Place):
    """3x3 pooling, `"max"` or `"avg"`."""
    name, padding = f"{place.name}.comb_iter_{position}", "same"
    if stride > 1 and kind in place.spec.counts_zeros:
        x, padding = SameZeroPadding2D(3, stride, name=f"{name}.pad")(x), "valid"
    layer = {"max": keras.layers.MaxPooling2D, "avg": AveragePooling2D}[kind]
    x = fitted(layer(3, stride, padding=padding, name=name)(x), position, place)
    return dropped(x, name, place)


def fitted(x, position, place: Place, activation=None):
    """`x` with the cell's number of filters; it has another one only in the first cell of the CIFAR network."""
    if x.shape[-1] == place.filters:
        return x
    name = f"{place.name}.comb_iter_{position}"
    x = activate(x, activation, name=f"{name}.act") if activation else x
    return norm(conv(x, place.filters, 1, name=f"{name}.conv"), place.spec, name=f"{name}.bn")


def dropped(x, name, place: Place):
    """The path `x` under ScheduledDropPath."""
    return ScheduledDropPath(place.drop, name=f"{name}.drop")([x, place.progress]) if place.drop else x


def add(number, left, right, place: Place):
    return keras.layers.Add(name=f"{place.name}.comb_iter_{number}")([left, right])


def norm(x, spec: Spec, *, name):
    return batch_norm(x, epsilon=spec.epsilon, momentum=spec.momentum, name=name)


def auxiliary_head(x, name, classes, activation, spec: Spec):
    """The classifier at two thirds of the depth; its loss counts 0.4 in the paper."""
    window = min(5, *x.shape[1:3])
    x = activate(x, name=f"{name}.act")
    x = keras.layers.AveragePooling2D(window, 3, name=f"{name}.avgpool")(x)
    x = norm(conv(x, 128, 1, name=f"{name}.proj"), spec, name=f"{name}.bn0")
    x = activate(x, name=f"{name}.bn0.act")
    x = norm(conv(x, 768, tuple(x.shape[1:3]), padding="valid", name=f"{name}.conv"), spec, name=f"{name}.bn1")
    x = activate(x, name=f"{name}.bn1.act")
    return output(keras.layers.Flatten(name=f"{name}.flatten")(x), classes, activation, name=name)


def _variant(name: str, python_name: str, spec: Spec, **columns) -> Variant:
    return Variant(
        name=name,
        python_name=python_name,
        family="nasnet",
        paper=PAPER,
        body=nasnet,
        spec=spec,
        aux={"aux1": f"cell_{2 * spec.cells - 1}"},
        aux_head=auxiliary_head,
        **columns,
    )


_ZEROS = "average pooling with stride 2 counts the padded zeros (authors' code: it does not)"
_LARGE_SPEC = Spec(6, 168, 96, skip_reduction=True, drop_path=0.3)
_LARGE = {
    "summary": "NASNet-A (6 @ 4032), the large network for ImageNet",
    "head": dropout_head(0.5),
    "input_shape": (331, 331, 3),
    "preprocessing": LARGE_PIXELS,
    "feature_shapes": {
        "conv0.conv": (165, 165, 96),
        "cell_stem_0": (83, 83, 168),
        "cell_stem_1": (42, 42, 336),
        "cell_5": (42, 42, 1008),
        "reduction_cell_0": (21, 21, 1344),
        "cell_11": (21, 21, 2016),
        "reduction_cell_1": (11, 11, 2688),
        "cell_17": (11, 11, 4032),
    },
}

register(
    _variant(
        "nasnet_mobile",
        "NASNetMobile",
        Spec(4, 44, 32),
        summary="NASNet-A (4 @ 1056), the mobile network for ImageNet",
        head=dropout_head(0.5),
        preprocessing=PIXELS,
        feature_shapes={
            "conv0.conv": (111, 111, 32),
            "cell_stem_0": (56, 56, 44),
            "cell_stem_1": (28, 28, 88),
            "cell_3": (28, 28, 264),
            "reduction_cell_0": (14, 14, 352),
            "cell_7": (14, 14, 528),
            "reduction_cell_1": (7, 7, 704),
            "cell_11": (7, 7, 1056),
        },
    ),
    _variant("nasnet_large", "NASNetLarge", _LARGE_SPEC, **_LARGE),
    _variant(
        "nasnet_large_timm",
        "NASNetLargeTimm",
        _LARGE_SPEC._replace(counts_zeros=("avg",)),
        differences=(_ZEROS,),
        **_LARGE,
    ),
    _variant(
        "nasnet_cifar",
        "NASNetCIFAR",
        Spec(6, 32, 96, stem_cells=False, drop_path=0.4, epsilon=1e-5, momentum=0.9),
        summary="NASNet-A (6 @ 768), for CIFAR-10",
        feature_shapes={"cell_5": (32, 32, 192), "cell_11": (16, 16, 384), "cell_17": (8, 8, 768)},
        **{**CIFAR, "min_size": 32},
    ),
)
