"""NASNet-A: a normal and a reduction cell that were searched on CIFAR-10, stacked for CIFAR-10 and ImageNet.

Zoph, Vasudevan, Shlens and Le 2017, "Learning Transferable Architectures for Scalable Image Recognition", figures 2
and 4, appendix A.3 and A.4. What the text leaves open is as in the authors' code (tensorflow/models, research/slim,
nasnet).

* Names as N@P: N normal cells in each of three stages, P filters before the classifier; a cell has F = P / 24
  filters in the first stage, twice as many after each reduction. Layers are called as in timm's `nasnetalarge`; a
  cell's output is called as the cell.
* The fourth sum of the normal cell adds the same average pooling of the same tensor twice; with dropped paths they
  differ.
* In the large network the first cell after a reduction takes its second input from before the layer before the
  reduction (`skip_reduction`), in the small ones the input of the reduction.
* ScheduledDropPath: every path but an identity is dropped with probability `drop_path` * (cell / cells) * (share of
  the training that is done); see kerasnets/layers/scheduled_drop_path.py for how a trainer moves the share on.
* Pooling pads as TensorFlow: the zeros never win a maximum and are not counted in a mean, and so the public weights
  were trained. Where the stride is 2, timm counts zeros in the mean, and keras.applications in both.
* In the first cell of the CIFAR network both inputs are the stem, wider than the cell; as in the authors' code, 1x1
  convolutions fit it wherever it is added or joined (12,544 parameters).
* The authors' settings for CIFAR-10 differ in more than the stem: batch normalisation's decay is 0.9 and its epsilon
  1e-5 (ImageNet: 0.9997 and 1e-3), and there is no dropout before the classifier (ImageNet: 0.5).
"""

from typing import NamedTuple

import keras

from kerasnets.architectures.variant import Variant, register
from kerasnets.blocks.convolution import activate, batch_norm, conv, depthwise_conv
from kerasnets.blocks.head import dropout_head, output, pooled_head
from kerasnets.layers.same_padding import SameZeroPadding2D
from kerasnets.layers.scheduled_drop_path import ScheduledDropPath, TrainingProgress
from kerasnets.registry import Paper, Preprocessing

PAPER = Paper(
    "Learning Transferable Architectures for Scalable Image Recognition",
    "Zoph, Vasudevan, Shlens, Le",
    2017,
    "https://arxiv.org/abs/1707.07012",
)
HALF = (127.5, 127.5, 127.5)


class Spec(NamedTuple):
    """N, F, filters of the stem, whether two reduction cells belong to it, and what the head of this file explains.

    `counts_zeros` are the kinds of pooling with stride 2 that see the padded zeros: `"avg"`, `"max"`. `epsilon` and
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
    """Where a cell stands: its name and filters, whether it follows a reduction, and how its paths are dropped.

    `spec` is the network's.
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

    drop_path: how often training at its end drops a path of the last cell, 0 to 1; `None` is the paper's for this row.
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
    """Figure 4, right: as the normal cell, but all that comes from outside takes steps of two."""
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
    """The cell's two inputs, both (batch, height, width, filters): the last output, and the one before fitted to it."""
    name, h = place.name, activate(x, name=f"{place.name}.act")
    h = norm(conv(h, place.filters, 1, name=f"{name}.conv_1x1.conv"), place.spec, name=f"{name}.conv_1x1.bn")
    if previous is None:  # the first cell: its second input is the stem, whatever its width
        return h, x
    p = activate(previous, name=f"{name}.act_prev")
    if place.after_reduction:
        return h, factorized_reduction(p, place)
    if previous.shape[-1] == place.filters:
        return h, previous
    p = conv(p, place.filters, 1, name=f"{name}.conv_prev_1x1.conv")
    return h, norm(p, place.spec, name=f"{name}.conv_prev_1x1.bn")


def factorized_reduction(x, place: Place):
    """Halves height and width by two subsamplings that are one pixel apart, each for half of the filters."""
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
    """ReLU, depthwise and pointwise convolution, batch normalisation; all of it twice, the stride in the first."""
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
    layer = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}[kind]
    x = fitted(layer(3, stride, padding=padding, name=name)(x), position, place)
    return dropped(x, name, place)


def fitted(x, position, place: Place, activation=None):
    """`x` with the cell's number of filters, which it lacks only in the first cell of the CIFAR network."""
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
    """The classifier at two thirds of the depth; the paper weighs its loss with 0.4."""
    window = min(5, *x.shape[1:3])
    x = activate(x, name=f"{name}.act")
    x = keras.layers.AveragePooling2D(window, 3, name=f"{name}.avgpool")(x)
    x = norm(conv(x, 128, 1, name=f"{name}.proj"), spec, name=f"{name}.bn0")
    x = activate(x, name=f"{name}.bn0.act")
    x = norm(conv(x, 768, tuple(x.shape[1:3]), padding="valid", name=f"{name}.conv"), spec, name=f"{name}.bn1")
    x = activate(x, name=f"{name}.bn1.act")
    return output(keras.layers.Flatten(name=f"{name}.flatten")(x), classes, activation, name=name)


# Where the stem, its cells, the stages and the reductions end, for 224x224 and 331x331.
MOBILE = {
    "conv0.conv": (111, 111, 32),
    "cell_stem_0": (56, 56, 44),
    "cell_stem_1": (28, 28, 88),
    "cell_3": (28, 28, 264),
    "reduction_cell_0": (14, 14, 352),
    "cell_7": (14, 14, 528),
    "reduction_cell_1": (7, 7, 704),
    "cell_11": (7, 7, 1056),
}
LARGE = {
    "conv0.conv": (165, 165, 96),
    "cell_stem_0": (83, 83, 168),
    "cell_stem_1": (42, 42, 336),
    "cell_5": (42, 42, 1008),
    "reduction_cell_0": (21, 21, 1344),
    "cell_11": (21, 21, 2016),
    "reduction_cell_1": (11, 11, 2688),
    "cell_17": (11, 11, 4032),
}
LARGE_SPEC = Spec(6, 168, 96, skip_reduction=True, drop_path=0.3)
LARGE_FIELDS = {"input_shape": (331, 331, 3), "preprocessing": Preprocessing(331, 0.911, "bicubic", HALF, HALF)}
CIFAR = {"cell_5": (32, 32, 192), "cell_11": (16, 16, 384), "cell_17": (8, 8, 768)}


def _row(name, title, summary, spec, stages, **fields):
    return Variant(
        name=f"nasnet_{name}",
        python_name=f"NASNet{title}",
        family="nasnet",
        summary=summary,
        paper=PAPER,
        body=nasnet,
        spec=spec,
        aux={"aux1": f"cell_{2 * spec.cells - 1}"},
        aux_head=auxiliary_head,
        stages=stages,
        **{"head": dropout_head(0.5), **fields},
    )


register(
    _row(
        "mobile",
        "Mobile",
        "4@1056, for phones",
        Spec(4, 44, 32),
        MOBILE,
        preprocessing=Preprocessing(mean=HALF, std=HALF),
    ),
    _row("large", "Large", "6@4032, the most accurate one", LARGE_SPEC, LARGE, **LARGE_FIELDS),
    _row(
        "large_timm",
        "LargeTimm",
        "6@4032, the most accurate one",
        LARGE_SPEC._replace(counts_zeros=("avg",)),
        LARGE,
        differences=("average pooling with stride 2 counts the padded zeros (authors' code: it does not)",),
        **LARGE_FIELDS,
    ),
    _row(
        "cifar",
        "CIFAR",
        "6@768, for CIFAR-10",
        Spec(6, 32, 96, stem_cells=False, drop_path=0.4, epsilon=1e-5, momentum=0.9),
        CIFAR,
        head=pooled_head,
        input_shape=(32, 32, 3),
        classes=10,
        preprocessing=Preprocessing(32, 1.0),
    ),
)
