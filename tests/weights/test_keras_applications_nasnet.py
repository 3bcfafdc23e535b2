"""NASNet-A beside that of keras.applications, on the same weights. Files: test_keras_applications_files.py.

keras.applications counts the zeros that it pads with when it averages, the authors do not. Here our network counts them
too, for the comparison.
"""

import dataclasses

import numpy as np
import pytest
from keras.src.applications.nasnet import NASNet
from nets import fill, pixels

from kerasnets.architectures.nasnet import Spec
from kerasnets.build import build
from kerasnets.registry import get_variant
from kerasnets.weights.keras_names import nasnet_layers

ZEROS = ("avg", "max")
# Which of their weights a layer of ours has: a separable convolution is one layer there and two here.
PARTS = {"": slice(None), "depthwise": slice(0, 1), "pointwise": slice(1, 2)}


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (Spec(1, 8, 8, counts_zeros=ZEROS), 75),
        (Spec(2, 8, 8, skip_reduction=True, counts_zeros=ZEROS), 64),
    ],
)
def test_logits_equal_those_of_keras_applications(spec, size):
    options = {"weights": None, "classes": 10, "classifier_activation": None, "input_shape": (size, size, 3)}
    variant = dataclasses.replace(get_variant("nasnet_mobile"), spec=spec)
    ours = build(variant, **options)
    outside = NASNet(
        penultimate_filters=24 * spec.filters,
        num_blocks=spec.cells,
        stem_block_filters=spec.stem,
        skip_reduction=spec.skip_reduction,
        default_size=size,
        **options,
    )
    fill(ours)
    used = 0
    for layer, (name, part) in nasnet_layers([layer.name for layer in ours.layers if layer.weights]).items():
        sources, targets = ours.get_layer(layer).weights, outside.get_layer(name).weights[PARTS[part]]
        for source, target in zip(sources, targets, strict=True):
            target.assign(source)
            used += 1
    assert used == len(outside.weights)
    images = pixels((2, size, size, 3))
    expected = np.asarray(outside(images, training=False))
    assert expected.std() > 0.01
    assert np.abs(np.asarray(ours(images, training=False)) - expected).max() <= 1e-4 * expected.std()


def test_the_authors_pooling_differs_from_that_of_keras_applications():
    """So that the comparison above would see a wrong pooling."""
    variant = get_variant("nasnet_mobile")
    specs = (Spec(1, 8, 8, counts_zeros=zeros) for zeros in ((), ZEROS))
    models = [build(dataclasses.replace(variant, spec=spec), input_shape=(64, 64, 3), classes=10) for spec in specs]
    for model in models:
        fill(model)
    first, second = (np.asarray(model(pixels((1, 64, 64, 3)), training=False)) for model in models)
    assert np.abs(first - second).max() > 1e-6
