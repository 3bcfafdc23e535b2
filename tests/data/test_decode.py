"""Decoding, resizing and normalising against Pillow and NumPy: all formats, orientations and unusual files."""

import io

import numpy as np
import pytest
import tensorflow as tf
from data_files import RGB, encode, photo
from PIL import Image, ImageOps

from kerasnets.data.images.decode import decode_image, decode_window, exif_orientation, reencode, to_pixels
from kerasnets.data.images.geometry import resize
from kerasnets.data.images.per_image import evaluation_transform, load_image, normalise
from kerasnets.registry import Preprocessing


def largest_difference(a, b):
    return int(np.abs(np.asarray(a, "int32") - np.asarray(b, "int32")).max())


def rgb(contents):
    return decode_image(contents, 3)


def grey(contents):
    return decode_image(contents, 1)


def with_pillow(contents, mode="RGB"):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert(mode))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_decoding_equals_pillow(kind, both_ways):
    contents = encode(photo(1), kind)
    assert largest_difference(both_ways(rgb, contents), with_pillow(contents)) <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_equals_pillow(kind, both_ways):
    contents = encode(photo(1), kind)
    assert largest_difference(both_ways(grey, contents)[..., 0], with_pillow(contents, "L")) <= 2
    one_channel = encode(photo(1)[..., 0], kind)
    assert largest_difference(both_ways(rgb, one_channel), with_pillow(one_channel)) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_orientation_is_applied(orientation, endian, both_ways):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F] = "A camera"
    exif[0x0112] = orientation
    contents = encode(photo(2), "JPEG", exif=exif)
    assert both_ways(exif_orientation, contents) == orientation
    assert largest_difference(both_ways(rgb, contents), with_pillow(contents)) == 0

    def decode(contents):
        return decode_window(contents, 3, lambda height, width: tf.stack([3, 5, 20, 17]))

    window = both_ways(decode, contents)
    # JPEG interpolates colour between neighbouring pixels, which the edge of a window does not have.
    assert largest_difference(window[1:-1, 1:-1], with_pillow(contents)[4:22, 6:21]) == 0


def test_odd_but_good_files(both_ways):
    frames = [Image.fromarray(photo(seed)) for seed in (3, 4)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    assert largest_difference(both_ways(rgb, animated.getvalue()), with_pillow(animated.getvalue())) <= 1
    cmyk = io.BytesIO()
    frames[0].convert("CMYK").save(cmyk, "JPEG", quality=95)
    assert largest_difference(both_ways(rgb, cmyk.getvalue()), with_pillow(cmyk.getvalue())) <= 4
    deep = np.random.default_rng(0).integers(0, 65536, (8, 9), dtype="uint16")
    assert largest_difference(both_ways(grey, encode(deep, "PNG"))[..., 0], deep >> 8) <= 1
    clear = np.concatenate([photo(5), np.full((40, 56, 1), 7, "uint8")], axis=-1)
    assert largest_difference(both_ways(rgb, encode(clear, "PNG")), photo(5)) == 0


def test_reencode_takes_what_tensorflow_refuses():
    frames = [Image.fromarray(photo(seed)) for seed in (3, 4)]
    animated = io.BytesIO()
    frames[0].save(animated, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(animated.getvalue(), 3)
    assert largest_difference(decode_image(reencode(animated.getvalue(), 3), 3), photo(3)) == 0
    with pytest.raises(OSError):
        reencode(encode(photo(1), "PNG")[:200], 3)


@pytest.mark.parametrize("interpolation, levels", [("bilinear", 1), ("bicubic", 1)])
def test_evaluation_equals_pillow(interpolation, levels, both_ways):
    preprocessing = Preprocessing(size=24, crop_fraction=0.875, interpolation=interpolation)
    noise = np.random.default_rng(0).integers(0, 2, (61, 90, 3), dtype="uint8") * 255
    image = Image.fromarray(noise)
    resized = image.resize((round(27 * 90 / 61), 27), getattr(Image, interpolation.upper()))
    left, top = round((resized.width - 24) / 2), round((27 - 24) / 2)
    expected = np.asarray(resized.crop((left, top, left + 24, top + 24)))
    assert largest_difference(both_ways(evaluation_transform(preprocessing), noise), expected) <= levels


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area", "lanczos3"])
@pytest.mark.parametrize("size", [(17, 23), (90, 120)])
def test_every_interpolation_resizes_to_whole_pixel_values(method, size, both_ways):
    def resized(image):
        return resize(image, *size, method, antialias=True)

    image = np.random.default_rng(3).integers(0, 2, (40, 56, 3), dtype="uint8") * 255  # Bicubic overshoots on it.
    found = both_ways(resized, image)
    assert found.shape == (*size, 3) and found.dtype == np.uint8
    expected = tf.clip_by_value(tf.cast(tf.image.resize(image, size, method, antialias=True), "float32"), 0.0, 255.0)
    assert np.abs(found - expected.numpy()).max() <= 0.501
    np.testing.assert_array_equal(both_ways(lambda image: resize(image, 40, 56, method, True), image), image)


def test_pixels_become_the_channels_of_the_network(both_ways):
    image = photo(3)
    luminance = both_ways(lambda image: to_pixels(image, 1), image)
    assert largest_difference(luminance[..., 0], image @ [0.2989, 0.587, 0.114]) <= 1
    np.testing.assert_array_equal(both_ways(lambda image: to_pixels(image, 3), luminance), luminance.repeat(3, axis=-1))
    np.testing.assert_array_equal(both_ways(lambda image: to_pixels(image, 3), image), image)


def test_load_image(tmp_path):
    for name, contents in (("a.jpg", encode(photo(7), "JPEG")), ("b.png", encode(photo(7), "PNG"))):
        (tmp_path / name).write_bytes(contents)
        image = load_image(tmp_path / name, RGB)
        assert image.shape == (24, 24, 3) and image.dtype == tf.float32
        assert largest_difference(image, evaluation_transform(RGB)(tf.constant(contents))) == 0
    with pytest.raises(FileNotFoundError, match="no such image file"):
        load_image(tmp_path / "missing.jpg", RGB)
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"bad\.jpg cannot be decoded as an image: not an image in a known format"):
        load_image(tmp_path / "bad.jpg", RGB)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("full_constants", [True, False])
def test_normalise(order, full_constants, both_ways):
    preprocessing = Preprocessing(size=8, mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0), channel_order=order)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype="uint8")
    kept = images.copy()
    expected = (images[..., :: 1 if order == "rgb" else -1].astype("float32") - [10, 20, 30]) / [1, 2, 4]
    result = both_ways(lambda images: normalise(images, preprocessing, full_constants=full_constants), images)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-4)
    np.testing.assert_array_equal(normalise(images, preprocessing, full_constants=full_constants), result)
    np.testing.assert_array_equal(images, kept)
    with pytest.raises(ValueError, match="must have 3 channels. Received"):
        normalise(images[..., :1], preprocessing)
