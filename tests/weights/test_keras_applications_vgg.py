"""VGG beside that of keras.applications, on the same weights."""

import keras
import numpy as np
import pytest
from nets import fill, pixels

from kerasnets.build import create_model


@pytest.mark.parametrize(
    ("depth", "size", "include_top"),
    [
        (16, 32, True),
        pytest.param(19, 32, False, marks=pytest.mark.slow),
        pytest.param(16, 224, True, marks=pytest.mark.slow),
        pytest.param(19, 224, True, marks=pytest.mark.slow),
    ],
)
def test_outputs_equal_those_of_keras_applications(depth, size, include_top):
    options = {"include_top": include_top, "weights": None, "input_shape": (size, size, 3)}
    if include_top:
        options["classifier_activation"] = None
    theirs = getattr(keras.applications, f"VGG{depth}")(**options)
    ours = create_model(f"vgg{depth}", **options)
    fill(ours)
    theirs.set_weights(ours.get_weights())
    images = pixels((1, size, size, 3))
    expected = theirs.predict_on_batch(images)
    assert np.abs(ours.predict_on_batch(images) - expected).max() <= 1e-4 * expected.std()
