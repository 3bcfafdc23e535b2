"""MobileNet and EfficientNet beside those of keras.applications, on the same weights."""

import keras
import numpy as np
import pytest
from nets import fill, pixels

from kerasnets.architectures import efficientnet, mobilenet_v1, mobilenet_v2, mobilenet_v3  # noqa: F401
from kerasnets.build import create_model

V3 = {"include_preprocessing": False}
slow = pytest.mark.slow


def copy(ours, theirs):
    """Copies weights layer by layer in the order of the graph; a dense layer may stand for a 1x1 convolution."""
    sources, targets = (
        [x for x in model.layers if x.weights and not isinstance(x, keras.layers.Normalization)]
        for model in (ours, theirs)
    )
    for source, target in zip(sources, targets, strict=True):
        for a, b in zip(source.weights, target.weights, strict=True):
            b.assign(keras.ops.reshape(a, b.shape))


@pytest.mark.parametrize(
    ("name", "builder", "size", "theirs", "ours"),
    [
        ("mobilenet_v1", "MobileNet", 64, {"alpha": 0.25}, {"alpha": 0.25}),
        pytest.param("mobilenet_v1", "MobileNet", 224, {}, {}, marks=slow),
        pytest.param("mobilenet_v2", "MobileNetV2", 224, {}, {}, marks=slow),
        pytest.param("mobilenet_v2", "MobileNetV2", 75, {"alpha": 1.4}, {"alpha": 1.4}, marks=slow),
        pytest.param("mobilenet_v3_small", "MobileNetV3Small", 75, V3, {}, marks=slow),
        pytest.param("mobilenet_v3_large", "MobileNetV3Large", 224, V3, {}, marks=slow),
        pytest.param("efficientnet_b0", "EfficientNetB0", 224, {}, {}, marks=slow),
        pytest.param("efficientnet_b3", "EfficientNetB3", 75, {}, {}, marks=slow),
    ],
)
def test_logits_equal_those_of_keras_applications(name, builder, size, theirs, ours):
    options = {"weights": None, "classes": 10, "classifier_activation": None, "input_shape": (size, size, 3)}
    outside = getattr(keras.applications, builder)(**options, **theirs)
    model = create_model(name, **options, **ours)
    fill(model)
    copy(model, outside)
    images = pixels((2, size, size, 3))
    # Theirs has the division by 255 in the graph, and a normalisation that does nothing without data.
    expected = np.asarray(outside(images * (255 if "efficient" in name else 1), training=False))
    assert expected.std() > 0.01
    assert np.abs(np.asarray(model(images, training=False)) - expected).max() <= 1e-4 * expected.std()
