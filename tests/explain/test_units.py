"""What single maps look for, on networks whose maps are known."""

import keras
import numpy as np
import pytest
from bright_squares import brightness, photos

from kerasnets import explain


def test_strongest_images():
    """Map i of this network is channel i; image n has a square of height n + 1 in channel n % 4."""
    model, (images, boxes) = brightness(), photos()
    images = images * np.arange(1, 9, dtype="float32")[:, None, None, None]
    whole = explain.strongest_images(model, [images], "maps", count=2)
    assert whole.values.tolist() == [[5, 1], [6, 2], [7, 3], [8, 4]]
    assert whole.images.tolist() == [[4, 0], [5, 1], [6, 2], [7, 3]]
    assert whole.places[3, 0].tolist() == list(boxes[7][:2])
    for parts in (np.split(images, 4), [(images[:3], 0), (images[3:], 0)]):
        for one, other in zip(whole, explain.strongest_images(model, parts, "maps", count=2), strict=True):
            assert np.array_equal(one, other)
    few = explain.strongest_images(model, [images[:1]], "maps", count=9)
    assert few.images[0].tolist() == [0] + [-1] * 8


def test_evolution():
    """After "second" the maps have changed places, so map 0 is excited by what excited map 1."""
    model, (images, _) = brightness(), photos()
    images = images * np.arange(1, 9, dtype="float32")[:, None, None, None]
    values = {weight.path: weight.numpy() for weight in model.weights}
    swapped = {path: value[..., [1, 0, 2, 3]] if "maps" in path else value for path, value in values.items()}
    found = explain.evolution(model, {"first": values, "second": swapped}, [images[:3], images[3:]], "maps", [0, 1])
    assert found["first"].strongest.images.tolist() == [[4], [5]]
    assert found["second"].strongest.images.tolist() == [[5], [4]]
    for state in found.values():
        assert state.projections.shape == state.images.shape == (2, 8, 8, 4)
        assert np.array_equal(state.images, images[state.strongest.images[:, 0]])
        assert all(np.count_nonzero(one.any(axis=-1)) == 1 for one in state.projections)
    assert all(np.array_equal(weight, values[weight.path]) for weight in model.weights)
    with pytest.raises(ValueError, match="should be those of"):
        explain.evolution(model, {"first": {}}, [images], "maps", [0])


def test_first_filters_and_feature_maps():
    model, (images, _) = brightness(), photos()
    assert explain.first_filters(model).shape == (4, 1, 1, 4)
    assert explain.first_filters(model)[2].ravel().tolist() == [0, 0, 1, 0]
    assert np.array_equal(explain.feature_maps(model, images, "maps", batch_size=3), images)
    with pytest.raises(ValueError, match="should have an output .batch, height, width, maps."):
        explain.feature_maps(model, images, "predictions")


def test_a_maximised_image_is_one_of_its_class():
    model = brightness()
    for options in ({"target": 2}, {"target": 2, "layer": "maps"}):
        image = explain.activation_maximization(model, steps=20, **options)
        assert image.shape == (8, 8, 4)
        logits = np.asarray(model(image[None]))[0]
        assert logits.argmax() == 2 and image[..., 2].mean() > 0.5 > abs(image[..., 1].mean())
    with pytest.raises(ValueError, match="`size` should be"):
        explain.activation_maximization(brightness(None), 0)


def test_changes_of_images():
    image = np.zeros((1, 9, 9, 1), "float32")
    image[0, 2, 4] = 1
    assert explain.shifted(image, 3)[0, 5, 4] == 1
    assert explain.turned(image, 90)[0, 4, 2, 0] == pytest.approx(1)
    assert explain.scaled(image, 2)[0, 0, 4, 0] == pytest.approx(1)
    for change in (explain.shifted, explain.turned):
        assert np.allclose(change(image, 0), image)


def test_invariance():
    model, (images, _) = brightness(), photos()
    found = explain.invariance(model, images, explain.shifted, [0, 1, 4], ["maps"])
    assert found["maps"].shape == found["probability"].shape == (3, 8)
    assert not found["maps"][0].any() and (found["maps"][2] > found["maps"][1]).any()
    assert found["probability"][0] == pytest.approx(found["probability"][0][0])
    with pytest.raises(ValueError, match="no such layer"):
        explain.invariance(model, images, explain.shifted, [0], ["mapps"])


def test_units_of_a_nested_model():
    inside = brightness()
    model = keras.Sequential([keras.Input((8, 8, 4)), inside])
    assert explain.strongest_images(model, [photos()[0]], "maps", count=1).values.shape == (4, 1)
