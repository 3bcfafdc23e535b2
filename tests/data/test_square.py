"""The three ways in which evaluation makes a square of a photo, against Pillow."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from data_files import photo
from PIL import Image

from kerasnets.data.images.per_image import evaluation_transform, override
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

WIDE = photo(0, height=60, width=120)
USUAL = Preprocessing(size=30, crop_fraction=1.0, interpolation="bilinear")


def of(geometry: str, image=WIDE) -> np.ndarray:
    numbers = dataclasses.replace(USUAL, geometry=geometry)
    return evaluation_transform(numbers)(tf.constant(image)).numpy()


def test_stretched_is_the_whole_photo_in_a_square():
    expected = np.asarray(Image.fromarray(WIDE).resize((30, 30), Image.BILINEAR))
    assert np.abs(of("stretch").astype(int) - expected).max() <= 1


def test_padded_is_the_whole_photo_between_black():
    found = of("pad")
    expected = np.asarray(Image.fromarray(WIDE).resize((30, 15), Image.BILINEAR))
    assert not found[:7].any() and not found[22:].any()
    assert np.abs(found[7:22].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("geometry", ["centre_crop", "stretch", "pad"])
def test_a_square_photo_is_the_same_in_all(geometry):
    square = photo(1, 60, 60)
    np.testing.assert_array_equal(of(geometry, square), of("centre_crop", square))


def test_one_pixel_of_height_is_left():
    assert of("pad", photo(0, height=2, width=300)).any()


def test_the_recipe_decides_and_files_keep_it():
    options = DataOptions(source={"kind": "digits"}, geometry="stretch")
    numbers = override(USUAL, options)
    assert numbers.geometry == "stretch" and Preprocessing.from_plain(numbers.as_plain()) == numbers
    assert "geometry" not in USUAL.as_plain()
    with pytest.raises(ValueError, match="centre_crop, stretch, pad. Received: geometry='fit'"):
        Preprocessing.from_plain({"geometry": "fit"})
