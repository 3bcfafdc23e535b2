"""Inception v3, Inception-ResNet v2 and Xception beside those of keras.applications, on the same weights."""

import keras
import numpy as np
import pytest
from nets import fill, pixels

from kerasnets.architectures import inception_resnet, inception_v3, xception  # noqa: F401
from kerasnets.build import create_model

KINDS = (keras.layers.Conv2D, keras.layers.BatchNormalization, keras.layers.Dense)


def in_order(model):
    """Weights kind by kind, each kind in the order of the graph."""
    return [w for kind in KINDS for layer in model.layers if isinstance(layer, kind) for w in layer.weights]


def role(layer):
    """What a layer of Xception is for, in either naming."""
    if layer.name.endswith((".conv1", ".pointwise")) or isinstance(layer, keras.layers.SeparableConv2D):
        return "separable"
    on_shortcut = layer.name.endswith(("skip", "skipbn")) or layer.name.startswith(("conv2d", "batch_normalization"))
    return f"{'shortcut' if on_shortcut else 'main'} {type(layer).__name__}"


def by_role(model):
    """Weights role by role: a separable convolution is one layer there and two here."""
    layers = [layer for layer in model.layers if layer.weights]
    return [w for wanted in sorted({role(x) for x in layers}) for x in layers if role(x) == wanted for w in x.weights]


@pytest.mark.parametrize(
    ("name", "builder", "size", "weights"),
    [
        ("xception", "Xception", 107, by_role),
        pytest.param("inception_v3", "InceptionV3", 139, in_order, marks=pytest.mark.slow),
        pytest.param("inception_resnet_v2", "InceptionResNetV2", 139, in_order, marks=pytest.mark.slow),
    ],
)
def test_logits_equal_those_of_keras_applications(name, builder, size, weights):
    options = {"weights": None, "classes": 10, "classifier_activation": None, "input_shape": (size, size, 3)}
    ours, theirs = create_model(name, **options), getattr(keras.applications, builder)(**options)
    fill(ours)
    for source, target in zip(weights(ours), weights(theirs), strict=True):
        target.assign(source)
    images = pixels((2, size, size, 3))
    expected = np.asarray(theirs(images, training=False))
    assert expected.std() > 0.01
    assert np.abs(np.asarray(ours(images, training=False)) - expected).max() <= 1e-4 * expected.std()
