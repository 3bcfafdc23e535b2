"""Crops for evaluation against their definition in the papers, in plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from data_files import photo

from kerasnets.data.images.crops import CROPS, multi_crop_transform, whole_image_transform
from kerasnets.registry import Preprocessing

SIZE = 28
PIXELS = Preprocessing(size=SIZE, crop_fraction=0.875)


def corners_and_centre(image, size=SIZE):
    height, width = image.shape[:2]
    down, right = height - size, width - size
    middle = (round(down / 2), round(right / 2))  # both round half to even
    places = [(0, 0), (0, right), (down, 0), (down, right), middle]
    return [image[y : y + size, x : x + size] for y, x in places]


def with_mirrors(crops):
    return np.stack([*crops, *(crop[:, ::-1] for crop in crops)])


@pytest.mark.parametrize("shape", [(32, 57), (45, 32)])
def test_crops_are_those_of_the_papers(shape, both_ways):
    """The shorter side is 32 already, so that no pixel is resized and the crops are exact."""
    image = photo(1, *shape)
    ten = both_ways(multi_crop_transform(PIXELS, "10"), image)
    np.testing.assert_array_equal(ten, with_mirrors(corners_and_centre(image)))
    y, x = (round((side - 32) / 2) for side in shape)
    square = image[y : y + 32, x : x + 32]
    alexnet = both_ways(multi_crop_transform(PIXELS, "alexnet"), image)
    np.testing.assert_array_equal(alexnet, with_mirrors(corners_and_centre(square)))
    (centre,) = both_ways(multi_crop_transform(PIXELS), image)
    np.testing.assert_array_equal(centre, corners_and_centre(image)[-1])
    both = both_ways(multi_crop_transform(PIXELS, flip=True), image)
    np.testing.assert_array_equal(both, with_mirrors([centre]))


@pytest.mark.parametrize("shape", [(40, 67), pytest.param((61, 40), marks=pytest.mark.slow)])
def test_the_144_crops(shape, both_ways):
    """Sizes 32, 36, 40 and 44 for crops of 28; the third is the image's own, so that its crops are exact."""
    image = photo(2, *shape)
    crops = both_ways(multi_crop_transform(PIXELS, "144"), image)
    assert crops.shape == (144, SIZE, SIZE, 3) and CROPS["144"] == 144
    np.testing.assert_array_equal(crops[72:], crops[:72, :, ::-1])
    offsets = [(0, 0), tuple(round((side - 40) / 2) for side in shape), (shape[0] - 40, shape[1] - 40)]
    squares = [image[y : y + 40, x : x + 40] for y, x in offsets]
    expected = np.stack([crop for square in squares for crop in corners_and_centre(square)])
    np.testing.assert_array_equal(crops[30:45], expected)  # 4 sizes x 3 squares x 5 crops, then 12 whole squares
    whole = tf.image.resize(np.stack(squares), (SIZE, SIZE), "bilinear", antialias=True)
    assert np.abs(crops[66:69] - whole.numpy()).max() <= 0.51


def test_whole_images_keep_their_proportions_at_every_scale(both_ways):
    image = photo(3, 40, 60)
    strings = both_ways(whole_image_transform(PIXELS, (20, 40)), image)
    small, same = (tf.io.parse_tensor(string, tf.uint8).numpy() for string in strings)
    assert small.shape == (20, 30, 3) and small.std() > 5
    np.testing.assert_array_equal(same, image)
