"""Training crops: torchvision's rule for their rectangles, JPEG decoded at a fraction of its size, and the filter."""

import numpy as np
import pytest
import tensorflow as tf
from data_files import encode, photo
from PIL import Image

from kerasnets.data.images import geometry
from kerasnets.data.images.decode import decode_window
from kerasnets.data.images.per_image import training_transform
from kerasnets.recipe.data_options import AugmentationOptions
from kerasnets.registry import Preprocessing

SEED = tf.constant([1, 2], tf.int64)


def torchvision_rule(rng, height, width, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """`torchvision.transforms.RandomResizedCrop.get_params`, restated: (top, left, height, width)."""
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = np.exp(rng.uniform(np.log(ratio[0]), np.log(ratio[1])))
        w, h = int(round(np.sqrt(area * aspect))), int(round(np.sqrt(area / aspect)))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    if width / height < ratio[0]:
        w, h = width, int(round(width / ratio[0]))
    elif width / height > ratio[1]:
        w, h = int(round(height * ratio[1])), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def largest_gap(a, b):
    """The largest distance between the distribution functions of two samples (Kolmogorov and Smirnov)."""
    places = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (a, b)]
    return np.abs(shares[0] - shares[1]).max()


@pytest.mark.parametrize(("height", "width"), [(375, 500), (200, 700)])
def test_random_resized_crops_lie_as_torchvisions(height, width):
    count, rng = 6000, np.random.default_rng(0)

    def draw(number):
        seed = tf.random.experimental.stateless_fold_in(SEED, number)
        return geometry.random_resized_window(height, width, (0.08, 1.0), (3 / 4, 4 / 3), seed)

    ours = tf.data.Dataset.range(count).map(draw).batch(count).get_single_element().numpy().astype(float)
    theirs = np.array([torchvision_rule(rng, height, width) for _ in range(count)], float)
    assert (ours[:, :2] + ours[:, 2:] <= [height, width]).all() and (ours >= 0).all()
    # Two samples of one distribution differ by more than this once in a thousand times.
    bound = 1.95 * np.sqrt(2 / count)
    for of in (*range(4), lambda w: w[:, 2] * w[:, 3], lambda w: w[:, 3] / w[:, 2], lambda w: w[:, 0] + w[:, 2]):
        a, b = (of(w) if callable(of) else w[:, of] for w in (ours, theirs))
        assert largest_gap(a, b) < bound


def test_scale_jitter_windows_show_what_resizing_and_cropping_shows():
    def draw(number):
        seed = tf.random.experimental.stateless_fold_in(SEED, number)
        return geometry.scale_jitter_window(300, 400, (32, 64), 24, seed)

    top, left, height, width = tf.data.Dataset.range(3000).map(draw).batch(3000).get_single_element().numpy().T
    np.testing.assert_array_equal(height, width)
    lengths = np.round(300 * 24 / np.arange(32, 65))
    counts = np.array([(height == length).sum() for length in lengths])
    assert counts.sum() == 3000 and np.abs(counts - 3000 / 33).max() < 5 * np.sqrt(3000 / 33)
    assert (top + height <= 300).all() and (left + width <= 400).all()
    for corner, room in ((top, 300 - height), (left, 400 - width)):
        assert corner.min() == 0 and (corner == room).any() and abs(np.mean(corner / room) - 0.5) < 0.02


@pytest.mark.parametrize(("smallest", "step"), [(None, 1), (121, 1), (120, 2), (61, 2), (60, 4), (30, 8), (2, 8)])
def test_a_window_is_decoded_at_the_coarsest_step_that_leaves_enough(smallest, step):
    pixels = photo(1, 301, 411)
    contents = encode(pixels, "JPEG", quality=95, subsampling=0)
    window = decode_window(tf.constant(contents), 3, lambda height, width: tf.stack([35, 91, 240, 260]), smallest)
    top, left = (int((edge + step // 2) // step) * step for edge in (35, 91))
    assert tuple(window.shape[:2]) == (
        (275 + step // 2) // step - top // step,
        (351 + step // 2) // step - left // step,
    )
    cut = pixels[top : top + step * window.shape[0], left : left + step * window.shape[1]]
    expected = np.asarray(Image.fromarray(cut).resize(window.shape[1::-1], Image.BOX)).astype(int)
    assert np.abs(window.numpy() - expected).max() <= 6


def test_a_window_at_the_last_edge_is_decoded():
    contents = tf.constant(encode(photo(1, 301, 411), "JPEG"))
    for top, left, height, width in ((0, 0, 301, 411), (1, 1, 300, 410), (60, 170, 241, 241)):
        for smallest in (None, 100, 50, 25):
            decode_window(contents, 3, lambda h, w, box=(top, left, height, width): tf.stack(box), smallest)


@pytest.mark.parametrize("sides", [(40, 56), (31, 70), (19, 20), (24, 24), (200, 300)])
def test_crops_are_close_to_pillows(sides):
    """Averaging is not Pillow's filter, but on smooth pictures the two see the same."""
    options = AugmentationOptions(random_resized_crop={"scale": (1.0, 1.0), "ratio": (sides[1] / sides[0],) * 2})
    pixels = photo(2, *sides)
    ours = training_transform(Preprocessing(size=24), options)(tf.constant(pixels), SEED).numpy().astype(int)
    pillow = np.asarray(Image.fromarray(pixels).resize((24, 24), Image.BILINEAR)).astype(int)
    assert np.abs(ours - pillow).mean() < 2.5
    if max(sides) <= 24:
        assert np.abs(ours - pillow).max() <= 1
