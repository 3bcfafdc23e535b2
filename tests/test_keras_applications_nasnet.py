"""NASNet-A beside that of keras.applications, on the same weights.

keras.applications pads its stride-2 pooling with zeros that count (the authors do not), and so does the row here, for
the comparison.
"""

import dataclasses
import re

import numpy as np
import pytest
from keras.src.applications.nasnet import NASNet
from nets import fill, pixels

from kerasnets.architectures.nasnet import Spec
from kerasnets.registry import get_row

ZEROS = ("avg", "max")
# A path here -> its name there, in normal cells and in reduction cells.
PATHS = {
    "normal": {"0_left": "left1", "0_right": "right1", "1_left": "left2", "1_right": "right2", "4_left": "left5"},
    "reduction": {"0_left": "left1", "0_right": "right1", "1_right": "right2", "2_right": "right3", "4_left": "left4"},
}
PARTS = {"conv_1x1.conv": "conv_1", "conv_1x1.bn": "bn_1"}
ADJUSTMENTS = {
    "path_1.conv": "adjust_conv_1", "path_2.conv": "adjust_conv_2", "final_path_bn": "adjust_bn",
    "conv_prev_1x1.conv": "adjust_conv_projection", "conv_prev_1x1.bn": "adjust_bn",
}  # fmt: skip


def theirs(name, cells):
    """Their name of a layer, and which of its weights (a separable convolution is one layer there and two here)."""
    fixed = {"conv0.conv": "stem_conv1", "conv0.bn": "stem_bn1", "predictions": "predictions"}
    if name in fixed:
        return fixed[name], slice(None)
    cell, number, rest = re.fullmatch(r"(cell_stem|reduction_cell|cell)_(\d+)\.(.*)", name).groups()
    number, kind = int(number), "normal" if cell == "cell" else "reduction"
    block = {"cell_stem": f"stem_{number + 1}", "reduction_cell": f"reduce_{cells * (number + 1)}"}.get(
        cell, str(number + (number >= cells))
    )
    if rest in ADJUSTMENTS:
        return f"{ADJUSTMENTS[rest]}_{block}", slice(None)
    if rest in PARTS:
        return f"{kind}_{PARTS[rest]}_{block}", slice(None)
    path, part = re.fullmatch(r"comb_iter_(\w+)\.(.*)", rest).groups()
    step = part.removeprefix("bn_sep_").removeprefix("separable_")[0]
    outside = f"{kind}_{PATHS[kind][path]}_{block}"
    if part.startswith("bn"):
        return f"separable_conv_{step}_bn_{outside}", slice(None)
    return f"separable_conv_{step}_{outside}", slice(0, 1) if "depthwise" in part else slice(1, 2)


@pytest.mark.parametrize(
    ("spec", "size", "penultimate"),
    [
        (Spec(1, 8, 8, counts_zeros=ZEROS), 75, 192),
        (Spec(2, 8, 8, skip_reduction=True, counts_zeros=ZEROS), 64, 192),
        pytest.param(Spec(4, 44, 32, counts_zeros=ZEROS), 224, 1056, marks=pytest.mark.slow),
        pytest.param(Spec(6, 168, 96, skip_reduction=True, counts_zeros=ZEROS), 107, 4032, marks=pytest.mark.slow),
    ],
)
def test_logits_equal_those_of_keras_applications(spec, size, penultimate):
    options = {"weights": None, "classes": 10, "classifier_activation": None, "input_shape": (size, size, 3)}
    row = dataclasses.replace(get_row("nasnet_mobile"), spec=spec)
    ours = row(**options)
    outside = NASNet(
        penultimate_filters=penultimate,
        num_blocks=spec.cells,
        stem_block_filters=spec.stem,
        skip_reduction=spec.skip_reduction,
        default_size=size,
        **options,
    )
    fill(ours)
    used = 0
    for layer in ours.layers:
        if layer.weights:
            name, part = theirs(layer.name, spec.cells)
            for source, target in zip(layer.weights, outside.get_layer(name).weights[part], strict=True):
                target.assign(source)
                used += 1
    assert used == len(outside.weights)
    images = pixels((2, size, size, 3))
    expected = np.asarray(outside(images, training=False))
    assert expected.std() > 0.01
    assert np.abs(np.asarray(ours(images, training=False)) - expected).max() <= 1e-4 * expected.std()


def test_the_authors_pooling_differs_from_that_of_keras_applications():
    """So that the comparison above would see a wrong pooling."""
    row = get_row("nasnet_mobile")
    models = [
        dataclasses.replace(row, spec=Spec(1, 8, 8, counts_zeros=zeros))(input_shape=(64, 64, 3), classes=10)
        for zeros in ((), ZEROS)
    ]
    for model in models:
        fill(model)
    first, second = (np.asarray(model(pixels((1, 64, 64, 3)), training=False)) for model in models)
    assert np.abs(first - second).max() > 1e-6
