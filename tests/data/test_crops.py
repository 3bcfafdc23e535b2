"""Training crops: the distribution of their rectangles, JPEG decoded at a fraction of its size, and resizing."""

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
    """Returns (top, left, height, width) as `torchvision.transforms.RandomResizedCrop.get_params` draws them."""
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
    """Returns the Kolmogorov-Smirnov distance of two samples."""
    places = np.sort(np.concatenate([a, b]))
    shares = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (a, b)]
    return np.abs(shares[0] - shares[1]).max()


@pytest.mark.parametrize(("height", "width"), [(375, 500), (200, 700)])
def test_random_resized_crops_lie_as_torchvisions(height, width, both_ways):
    count, rng = 6000, np.random.default_rng(0)

    def draw(seed):
        return geometry.random_resized_window(height, width, (0.08, 1.0), (3 / 4, 4 / 3), seed)

    ours = np.array(both_ways(draw, seeds=range(count)), float)
    theirs = np.array([torchvision_rule(rng, height, width) for _ in range(count)], float)
    assert (ours[:, :2] + ours[:, 2:] <= [height, width]).all() and (ours >= 0).all()
    # The distance of two samples of one distribution exceeds this bound once in a thousand times.
    bound = 1.95 * np.sqrt(2 / count)
    for of in (*range(4), lambda w: w[:, 2] * w[:, 3], lambda w: w[:, 3] / w[:, 2], lambda w: w[:, 0] + w[:, 2]):
        a, b = (of(w) if callable(of) else w[:, of] for w in (ours, theirs))
        assert largest_gap(a, b) < bound


def test_scale_jitter_windows_show_what_resizing_and_cropping_shows(both_ways):
    def draw(seed):
        return geometry.scale_jitter_window(300, 400, (32, 64), 24, seed)

    top, left, height, width = np.array(both_ways(draw, seeds=range(3000))).T
    np.testing.assert_array_equal(height, width)
    lengths = np.round(300 * 24 / np.arange(32, 65))
    counts = np.array([(height == length).sum() for length in lengths])
    assert counts.sum() == 3000 and np.abs(counts - 3000 / 33).max() < 5 * np.sqrt(3000 / 33)
    assert (top + height <= 300).all() and (left + width <= 400).all()
    for corner, last in ((top, 300 - height), (left, 400 - width)):
        assert corner.min() == 0 and (corner == last).any() and abs(np.mean(corner / last) - 0.5) < 0.02


@pytest.mark.parametrize(("smallest", "factor"), [(None, 1), (121, 1), (120, 2), (61, 2), (60, 4), (30, 8), (2, 8)])
def test_a_window_is_decoded_at_the_largest_factor_that_leaves_enough_pixels(smallest, factor, both_ways):
    pixels = photo(1, 301, 411)

    def decode(contents):
        return decode_window(contents, 3, lambda height, width: tf.stack([35, 91, 240, 260]), smallest)

    window = both_ways(decode, encode(pixels, "JPEG", quality=95, subsampling=0))
    top, left = (int((edge + factor // 2) // factor) * factor for edge in (35, 91))
    assert tuple(window.shape[:2]) == (
        (275 + factor // 2) // factor - top // factor,
        (351 + factor // 2) // factor - left // factor,
    )
    cut = pixels[top : top + factor * window.shape[0], left : left + factor * window.shape[1]]
    expected = np.asarray(Image.fromarray(cut).resize(window.shape[1::-1], Image.BOX)).astype(int)
    assert np.abs(window - expected).max() <= 6


@pytest.mark.parametrize("box", [(0, 0, 301, 411), (1, 1, 300, 410), (60, 170, 241, 241)])
@pytest.mark.parametrize(("smallest", "factor"), [(None, 1), (100, 2), (50, 4), (25, 8)])
def test_a_window_at_the_last_edge_is_decoded_to_the_edge(box, smallest, factor, both_ways):
    """The last JPEG blocks are not full: the window must end with the image, at every factor."""
    pixels = photo(1, 301, 411)

    def decode(contents):
        return decode_window(contents, 3, lambda height, width: tf.stack(box), smallest)

    window = both_ways(decode, encode(pixels, "JPEG", quality=95, subsampling=0)).astype(int)
    top, left = ((edge + factor // 2) // factor for edge in box[:2])
    height, width = (
        min((end + factor // 2) // factor, -(-side // factor))
        for end, side in ((box[0] + box[2], 301), (box[1] + box[3], 411))
    )
    assert window.shape == (height - top, width - left, 3)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        y = factor * (top + (row % window.shape[0]))
        x = factor * (left + (column % window.shape[1]))
        expected = pixels[y : y + factor, x : x + factor].reshape(-1, 3).mean(0)
        assert np.abs(window[row, column] - expected).max() <= 12


@pytest.mark.parametrize("sides", [(40, 56), (31, 70), (19, 20), (24, 24), (200, 300)])
def test_crops_are_close_to_pillows(sides, both_ways):
    """Averaging is not the filter of Pillow, but on smooth images the results are close."""
    options = AugmentationOptions(random_resized_crop={"scale": (1.0, 1.0), "ratio": (sides[1] / sides[0],) * 2})
    pixels = photo(2, *sides)
    ours = both_ways(training_transform(Preprocessing(size=24), options), pixels, SEED).astype(int)
    pillow = np.asarray(Image.fromarray(pixels).resize((24, 24), Image.BILINEAR)).astype(int)
    assert np.abs(ours - pillow).mean() < 2.5
    if max(sides) <= 24:
        assert np.abs(ours - pillow).max() <= 1
