"""Scores of maps: against areas and boxes worked out by hand, and against maps that are known to be right or wrong."""

import numpy as np
import pytest
from bright_squares import brightness, photos
from nets import build_twin, fill, pixels
from scipy import stats

from kerasnets import explain


def test_areas_by_hand():
    """Sixteen of 64 pixels carry the class; 16 pixels a step, so that the steps are before, after, after, ..."""
    model, (images, _) = brightness(), photos(4)
    own = images.sum(axis=-1)
    sure, unsure = np.exp(2) / (np.exp(2) + 3), 0.25
    expected = ((sure + unsure) / 2 + 3 * unsure) / 4
    assert np.allclose(explain.deletion(model, images, own, pixels=16), expected, atol=1e-6)
    expected = (3 * sure + (sure + unsure) / 2) / 4
    assert np.allclose(explain.deletion(model, images, -own, pixels=16), expected, atol=1e-6)


def test_a_right_map_beats_a_random_one_and_a_wrong_one():
    model, (images, _) = brightness(), photos()
    right, random = images.sum(axis=-1), explain.random_maps(len(images), (8, 8))
    for score, sign in ((explain.deletion, 1), (explain.insertion, -1)):
        good, chance, bad = (sign * score(model, images, maps, pixels=4).mean() for maps in (right, random, -right))
        assert good < chance < bad


def test_maps_of_pixels_are_summed_and_small_maps_are_resized():
    maps = np.array([[[[1.0, -2.0], [0.0, 0.0]]]])
    assert explain.heatmap(maps).tolist() == [[[3.0, 0.0]]]
    assert explain.heatmap(maps, (2, 4)).shape == (1, 2, 4)
    model, (images, _) = brightness(), photos(4)
    assert explain.deletion(model, images, explain.grad_cam(model, images)[:, ::2, ::2]).shape == (4,)


def test_completeness_of_a_linear_network():
    model, (images, _) = brightness(), photos()
    assert explain.completeness(model, images, explain.input_x_gradient(model, images)).max() < 1e-5
    assert explain.completeness(model, images, 0.5 * explain.input_x_gradient(model, images)) == pytest.approx(0.5)


def test_randomised_weights_change_grad_cam_and_come_back():
    model, (images, _) = brightness(), photos()
    weights = [w + np.random.default_rng(0).normal(size=w.shape).astype("float32") for w in model.get_weights()]
    model.set_weights(weights)
    found = explain.randomisation(explain.grad_cam, model, images, steps=2)
    assert list(found) == ["maps", "all"] and max(found.values()) < 0.9
    same = explain.randomisation(lambda model, images, target: images, model, images)
    assert set(same.values()) == {1.0}
    for kept, now in zip(weights, model.get_weights(), strict=True):
        assert np.array_equal(kept, now)


@pytest.mark.parametrize("size", [8, None])
def test_grid_pointing(size):
    """Grad-CAM of this network is the class's own channel; a uniform map has a share of a quarter."""
    images, _ = photos()
    found = explain.grid_pointing_game(explain.grad_cam, brightness(size), images, grids=6)
    assert found["hits"].shape == (24,) and found["hits"].all() and np.allclose(found["shares"], 1)
    assert ((found["overlaps"] > 0) & (found["overlaps"] <= 1)).all()
    even = explain.grid_pointing_game(lambda m, x, t: np.ones(x.shape[:3]), brightness(size), images, grids=6)
    assert even["hits"].mean() == 0.25 and np.allclose(even["shares"], 0.25)
    assert np.allclose(even["overlaps"], 0.25)  # the box is the whole picture
    empty = explain.grid_pointing_game(lambda m, x, t: np.zeros(x.shape[:3]), brightness(size), images, grids=2)
    assert not empty["hits"].any() and not empty["shares"].any()
    # Maps of an odd size, as SqueezeNet's 227.
    odd = images[:, 1:, 1:]
    assert explain.grid_pointing_game(explain.grad_cam, brightness(size and 7), odd, grids=2)["hits"].size == 8
    with pytest.raises(ValueError, match="four classes.*Received: 2 classes"):
        explain.grid_pointing_game(explain.grad_cam, brightness(size), images[[0, 1, 4, 5]])


def test_boxes():
    model, (images, boxes) = brightness(), photos()
    maps = explain.layer_cam(model, images)
    assert explain.pointing_game(maps, [[box] for box in boxes], tolerance=0).all()
    assert not explain.pointing_game(maps, [[(0, 0, 0, 0)]] * len(images), tolerance=0).any()
    assert [explain.box_from_map(one) for one in maps] == boxes
    two = np.zeros((6, 6))
    two[0, 0], two[2:4, 2:5] = 1, 0.5
    assert explain.box_from_map(two) == (2, 2, 4, 5) and explain.box_from_map(two, threshold=0.9) == (0, 0, 1, 1)
    assert explain.box_from_map(np.zeros((4, 4))) is None
    assert explain.intersection_over_union((0, 0, 2, 2), (0, 1, 2, 3)) == pytest.approx(1 / 3)
    assert explain.intersection_over_union((0, 0, 2, 2), (4, 4, 5, 5)) == 0


def test_interval_is_about_that_of_students_t():
    scores = np.random.default_rng(0).normal(size=200)
    mean, low, high = explain.interval(scores)
    expected = stats.t.interval(0.95, len(scores) - 1, scores.mean(), stats.sem(scores))
    assert mean == scores.mean() and np.allclose((low, high), expected, atol=0.02)
    with pytest.raises(ValueError, match="at least two scores. Received: 1"):
        explain.interval([0.5])


def test_maps_that_do_not_fit():
    model, (images, _) = brightness(), photos()
    with pytest.raises(ValueError, match="a map for each of 8 images. Received: 2 maps"):
        explain.deletion(model, images, np.ones((2, 8, 8)))


@pytest.mark.parametrize("name", ["vgg11", "googlenet"])
def test_boxes_from_maps_of_networks(name):
    """As the winners of ILSVRC's localisation: the box holds the map's largest value and lies in the image."""
    model = build_twin(name)
    fill(model)
    sides = model.input_shape[1:3]
    image = pixels((1, *model.input_shape[1:]))
    target = next(t for t in range(10) if explain.grad_cam(model, image, t).any())
    one = explain.heatmap(explain.grad_cam(model, image, target), sides)[0]
    box = explain.box_from_map(one)
    y, x = np.unravel_index(one.argmax(), one.shape)
    assert 0 <= box[0] <= y < box[2] <= sides[0] and 0 <= box[1] <= x < box[3] <= sides[1]
    assert explain.intersection_over_union(box, box) == 1 and explain.pointing_game([one], [[box]], tolerance=0).all()
