"""Each augmentation against its definition, eagerly and inside tf.data; mixed labels match the mixed pixels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from data_files import GREY, RGB, encode, photo

from kerasnets.data.images import color, geometry
from kerasnets.data.images.per_batch import batch_operations
from kerasnets.data.images.per_image import evaluation_transform, training_transform
from kerasnets.recipe.data_options import AugmentationOptions

SEED = tf.constant([1, 2], tf.int64)
# Of the covariance of ImageNet's RGB values, 0-255, as torch and Caffe recipes use them; rows are R, G, B.
EIGENVALUES = np.array([55.46, 4.794, 1.148]) ** 2
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def test_random_resized_crop_distribution(both_ways):
    """Against the definition: area uniform in [0.08, 0.5], log ratio uniform, everything inside the image."""

    def draw(seed):
        return geometry.random_resized_window(300, 300, (0.08, 0.5), (3 / 4, 4 / 3), seed)

    top, left, height, width = np.array(both_ways(draw, seeds=range(4000)), float).T
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 300).all() and (left + width <= 300).all()
    share, ratio = height * width / 300**2, np.log(width / height)
    for values, low, high in ((share, 0.08, 0.5), (ratio, np.log(3 / 4), np.log(4 / 3))):
        assert abs(values.mean() - (low + high) / 2) < 0.01 * (high - low) + 0.005
        counts = np.histogram(values, bins=8, range=(low, high))[0] / len(values)
        assert np.abs(counts - 1 / 8).max() < 0.025
    free = top / np.maximum(300 - height, 1)
    assert abs(free.mean() - 0.5) < 0.02 and free.max() == 1.0 and free.min() == 0.0


@pytest.mark.parametrize(("height", "width", "expected"), [(10, 100, (10, 13)), (100, 10, (13, 10))])
def test_a_crop_that_cannot_fit_is_central(height, width, expected, both_ways):
    def draw(seed):
        return geometry.random_resized_window(height, width, (0.9, 1.0), (3 / 4, 4 / 3), seed)

    window = both_ways(draw, SEED)
    assert tuple(window[2:]) == expected
    assert tuple(window[:2]) == ((height - expected[0]) // 2, (width - expected[1]) // 2)


def test_fused_crop_equals_decode_then_crop(both_ways):
    options = AugmentationOptions(random_resized_crop={"scale": (0.5, 1.0)}, antialias=False)
    transform = training_transform(RGB, options)
    contents = encode(photo(1, 120, 160), "JPEG", quality=95, subsampling=0)
    pixels = tf.io.decode_jpeg(contents, dct_method="INTEGER_ACCURATE")
    fused, plain = both_ways(transform, contents, SEED), both_ways(transform, pixels, SEED)
    assert np.abs(fused.astype(int) - plain.astype(int)).max() <= 1


@pytest.mark.parametrize("options", [{"random_resized_crop": {}}, {"scale_jitter": (24, 60)}])
def test_training_crops_are_resized_by_a_filter_of_their_own(options, both_ways):
    """The default is that of a bilinear network, whatever evaluation uses; another one has to be asked for."""
    contents = encode(photo(1, 120, 160), "JPEG", quality=95, subsampling=0)
    bicubic = dataclasses.replace(RGB, interpolation="bicubic")

    def crops(preprocessing, **more):
        transform = training_transform(preprocessing, AugmentationOptions(**options, **more))
        return np.stack(both_ways(transform, contents, seeds=range(4))).astype(int)

    default = crops(bicubic)
    np.testing.assert_array_equal(default, crops(RGB))
    sharper = crops(bicubic, interpolation="bicubic")
    assert 0 < np.abs(default - sharper).mean() < 3
    np.testing.assert_array_equal(sharper, crops(RGB, interpolation="bicubic"))


def test_without_a_random_crop_training_sees_the_pixels_of_evaluation():
    bicubic, contents = dataclasses.replace(RGB, interpolation="bicubic"), tf.constant(encode(photo(1, 60, 80), "JPEG"))
    found = training_transform(bicubic, AugmentationOptions())(contents, SEED)
    np.testing.assert_array_equal(found, evaluation_transform(bicubic)(contents))


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "both"])
def test_flips_are_even(direction, both_ways):
    image = np.arange(12, dtype="uint8").reshape(3, 4, 1)
    flipped = [result.tobytes() for result in both_ways(geometry.random_flip(direction), image, seeds=range(200))]
    mirrored = {"horizontal": image[:, ::-1], "vertical": image[::-1], "both": image[::-1, ::-1]}[direction]
    assert {image.tobytes(), mirrored.tobytes()} <= set(flipped)
    possible = {"horizontal": 2, "vertical": 2, "both": 4}[direction]
    counts = [flipped.count(which) for which in set(flipped)]
    assert len(counts) == possible and min(counts) > 100 / possible


def moments(image):
    """Returns the centre (y, x) and the covariance of the brightness of a grey image."""
    weights = image[..., 0] / image.sum(dtype=float)
    places = np.indices(weights.shape).reshape(2, -1)
    center = places @ weights.ravel()
    distances = places - center[:, np.newaxis]
    return center, distances * weights.ravel() @ distances.T


def test_affine_moves_by_what_the_options_say(both_ways):
    """Shift, angle, size and shear of a bright bar, against the ranges of the options."""
    image = np.zeros((49, 49, 1), "uint8")
    image[21:28, 14:35] = 200
    (_, still) = moments(image)

    def moved(**strength):
        operation = geometry.affine(AugmentationOptions(affine=strength).affine)
        results = both_ways(operation, image, seeds=range(60))
        assert all(result.dtype == np.uint8 and result.shape == image.shape for result in results)
        return results

    assert all(np.array_equal(result, image) for result in moved())
    shifts = np.array([moments(result)[0] - 24 for result in moved(shift=0.1)])
    for shift in shifts.T:
        assert -4.95 <= shift.min() < -3.5 and 3.5 < shift.max() <= 4.95 and abs(shift.mean()) < 1
    covariances = [moments(result)[1] for result in moved(rotation=20)]
    angles = np.degrees([0.5 * np.arctan2(2 * c[0, 1], c[1, 1] - c[0, 0]) for c in covariances])
    assert -20.5 < angles.min() < -15 and 15 < angles.max() < 20.5 and abs(angles.mean()) < 4
    sizes = np.sqrt([moments(result)[1][1, 1] / still[1, 1] for result in moved(scale=[0.8, 1.2])])
    assert 0.78 < sizes.min() < 0.85 and 1.15 < sizes.max() < 1.22
    leans = [np.degrees(np.arctan(c[0, 1] / c[0, 0])) for c in (moments(result)[1] for result in moved(shear=20))]
    assert -21 < min(leans) < -15 and 15 < max(leans) < 21


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_pad_and_crop_takes_every_window_of_the_padded_image(mode, both_ways):
    image = photo(4, 16, 16)[..., :1]
    options = AugmentationOptions(pad_and_crop={"padding": 4, "mode": mode}).pad_and_crop
    padded = np.pad(image[..., 0], 4, mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (16, 16)).reshape(81, 256)
    crops = both_ways(geometry.pad_and_crop(options, 16), image, seeds=range(300))
    places = [np.flatnonzero((windows == crop.ravel()).all(1))[0] for crop in crops]
    assert len(set(places)) > 70


def test_brightness_and_pca_lighting(both_ways):
    image = photo(5, 24, 24) // 2
    options = AugmentationOptions(color_jitter={"brightness": 0.5}).color_jitter
    ratios = [
        np.mean(result) / np.mean(image) for result in both_ways(color.color_jitter(options), image, seeds=range(50))
    ]
    assert 0.5 <= min(ratios) < 0.7 and 1.3 < max(ratios) <= 1.5
    grey = np.full((4, 4, 3), 128, "uint8")
    lit = np.array(both_ways(color.pca_lighting(1.0), grey, seeds=range(500)), float)
    assert np.ptp(lit, axis=(1, 2)).max() == 0  # one colour for all pixels of an image
    assert np.abs(lit.mean((0, 1, 2)) - 128).max() < 8
    # AlexNet, section 4.1: the covariance is that of ImageNet's colours. Clipping at 255 lowers it a little.
    expected = 0.25 * EIGENVECTORS * EIGENVALUES @ EIGENVECTORS.T
    half = np.array(both_ways(color.pca_lighting(0.5), grey, seeds=range(500)), float)[:, 0, 0]
    np.testing.assert_allclose(np.cov(half.T), expected, rtol=0.2)


def test_contrast_saturation_and_hue(both_ways):
    """Contrast scales the deviations from the mean, saturation those from grey, and hue keeps the largest channel."""
    image = photo(5, 24, 24) // 4 + 96

    def jittered(**strength):
        operation = color.color_jitter(AugmentationOptions(color_jitter=strength).color_jitter)
        return np.array(both_ways(operation, image, seeds=range(50)), float)

    spreads = jittered(contrast=0.5).std((1, 2, 3)) / image.std()
    assert 0.45 < spreads.min() < 0.7 and 1.3 < spreads.max() < 1.55
    chroma = np.ptp(jittered(saturation=0.5), axis=-1).mean((1, 2)) / np.ptp(image.astype(float), axis=-1).mean()
    assert 0.45 < chroma.min() < 0.7 and 1.3 < chroma.max() < 1.55
    turned = jittered(hue=0.3)
    assert np.abs(turned.max(-1) - image.max(-1)).max() <= 1 and np.abs(turned - image).max() > 10


def one_colour_images(count=12, size=20):
    return tf.constant(np.repeat(np.arange(count, dtype="uint8") * 20, size * size).reshape(count, size, size, 1))


def test_cutout_removes_the_asked_share(both_ways):
    options = AugmentationOptions(random_cutout={"height": (0.5, 0.5), "width": (0.5, 0.5), "fill_value": 255})
    images, labels = both_ways(batch_operations(options, 12), one_colour_images(), tf.range(12), SEED)
    cut = (images == 255).mean(axis=(1, 2, 3))
    assert images.dtype == np.uint8 and labels.dtype == np.int32
    assert cut.max() <= 0.25 and cut.min() >= 0.25 / 4 - 0.03 and len(set(cut)) > 3


def test_colour_steps_refuse_a_grey_network():
    for options in ({"pca_lighting": 0.1}, {"trivial_augment": True}, {"color_jitter": {"hue": 0.1}}):
        with pytest.raises(ValueError, match="need 3 channels. Received: a network of 1 channel"):
            training_transform(GREY, AugmentationOptions(**options))
    with pytest.raises(ValueError, match="must not be below the input size 24"):
        training_transform(RGB, AugmentationOptions(scale_jitter=(10, 30)))
