"""The deconvnet with recorded switches: by hand, and equal to its form by gradients where that has to be so."""

import keras
import numpy as np
import pytest
from nets import build_twin, fill, pixels

from kerasnets import explain

SLOW = ("squeezenet1_0", "googlenet_torchvision", "mobilenet_v1", "densenet121", "resnext50_32x4d", "nin_cifar")


def difference(model, images, **options):
    one, other = (explain.deconvnet(model, images, switches=form, **options) for form in (True, False))
    assert one.shape == other.shape == images.shape and one.any()
    return np.abs(one - other).max() / np.abs(other).max()


@pytest.mark.parametrize(
    "name",
    [
        "vgg11",
        "vgg16_bn",
        "resnet18",
        "alexnet_torchvision",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_equal_to_the_form_by_gradients(name):
    """None of these networks has local response normalisation, which the two forms treat differently."""
    model = build_twin(name)
    fill(model)
    images = pixels((2, *model.input_shape[1:]))
    assert difference(model, images) <= 1e-5
    assert difference(model, images, layer=explain.default_layer(model)) <= 1e-5


def pooled(values, size=2, stride=2):
    """A network of one pooling layer, and one image with these values."""
    values = np.array(values, "float32")[None, ..., None]
    model = keras.Sequential([keras.Input(values.shape[1:]), keras.layers.MaxPooling2D(size, stride, name="pool")])
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(2, use_bias=False, name="predictions"))
    count = model.get_layer("predictions").kernel.shape[0]
    model.get_layer("predictions").set_weights([np.arange(1, 2 * count + 1, dtype="float32").reshape(count, 2)])
    return model, values


def test_switches_by_hand():
    model, image = pooled([[1, 2, 0, 0], [4, 3, 0, 0], [5, 5, 9, 1], [5, 5, 1, 9]])
    found = explain.deconvnet(model, image, 0, switches=True)[0, ..., 0]
    # A window of equal values has its switch at the first of them; so has a window of zeros.
    assert found.tolist() == [[0, 0, 3, 0], [1, 0, 0, 0], [5, 0, 7, 0], [0, 0, 0, 0]]


def test_overlapping_windows_with_one_largest_value_add_up():
    model, image = pooled([[0, 1, 0], [1, 9, 1], [0, 1, 0]], size=2, stride=1)
    assert explain.deconvnet(model, image, 1, switches=True)[0, 1, 1, 0] == 2 + 4 + 6 + 8


def test_one_activation_begins_with_its_value_and_all_others_are_zero():
    model, image = pooled([[1, 2, 0, 0], [4, 3, 0, 0], [5, 5, 9, 1], [5, 5, 1, 8]])
    found = explain.deconvnet(model, image, layer="pool", switches=True)[0, ..., 0]
    assert found[2, 2] == 9 and np.count_nonzero(found) == 1


def test_contrast_normalisation_is_left_out():
    """In ZFNet the two forms differ, and without the normalisation they do not."""
    model = build_twin("zfnet")
    fill(model)
    assert difference(model, 40 * pixels((1, *model.input_shape[1:]))) > 1e-3


def test_layers_without_a_rule_are_named():
    model = build_twin("mobilenet_v3_small")
    with pytest.raises(ValueError, match="knows convolutions, ReLU.*Received: the ") as caught:
        explain.deconvnet(model, pixels((1, *model.input_shape[1:])), switches=True)
    assert "\n" not in str(caught.value)
