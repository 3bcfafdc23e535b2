"""Decodes image files in graph operations, so that training, prediction and an exported graph see the same pixels.

* JPEG is decoded with the accurate integer transform, which gives the pixels of Pillow. A crop is decoded without the
  rest of the image. A training crop that will shrink to half its size or less is decoded at 1/2, 1/4 or 1/8.
* The EXIF orientation of a JPEG is applied. PNG, GIF, BMP and WebP are decoded as stored.
* Animated GIF: the first frame. CMYK JPEG: converted. 16-bit PNG: the high byte. Transparency: dropped, not blended.
* A header that claims more pixels than the file can hold is an error, because decoding would allocate memory for them.
* A file that TensorFlow cannot decode raises `tf.errors.InvalidArgumentError`; the pipeline then tries Pillow
  (`reencode`).
"""

import io
from collections.abc import Callable

import tensorflow as tf

# A JPEG decoder that decodes only low frequencies of its 8 x 8 blocks gives an image smaller by one of these factors.
_JPEG_FACTORS = (2, 4, 8)
# A photograph has 1 to 20 pixels a byte and a blank page a few hundred. More than this is a damaged header.
_MOST_PIXELS_A_BYTE = 1000.0
# A blank image of another format can have more pixels a byte. Up to this number they are accepted.
_FEW_PIXELS = 2**24

# The orientation entry of the first EXIF directory, little-endian (II) or big-endian (MM); \C is any byte.
_ORIENTATION = (
    r"^\C*Exif\x00\x00(?:II\*\x00\C*?\x12\x01\x03\x00\x01\x00\x00\x00([\x02-\x08])\x00"
    r"|MM\x00\*\C*?\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x02-\x08]))\C*$"
)


def exif_orientation(contents):
    """Returns the EXIF orientation (int32) of the bytes of a JPEG (scalar string); 1 (upright) when there is none."""

    def read():
        value = tf.strings.regex_replace(tf.strings.substr(contents, 0, 1024), _ORIENTATION, r"\1\2")
        found = tf.equal(tf.strings.length(value), 1)
        return tf.cond(found, lambda: tf.cast(tf.io.decode_raw(value, tf.uint8)[0], tf.int32), lambda: tf.constant(1))

    # Most files show in their first bytes that they have no EXIF data, which saves the long search.
    named = tf.strings.regex_full_match(tf.strings.substr(contents, 0, 64), r"\C*Exif\x00\x00\C*")
    return tf.cond(tf.logical_and(named, tf.io.is_jpeg(contents)), read, lambda: tf.constant(1))


def decode_image(contents, channels: int):
    """Decodes an image file.

    Args:
        contents: scalar string tensor, the bytes of the file.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8 tensor [height, width, channels], upright.

    Raises:
        tf.errors.InvalidArgumentError: the bytes cannot be decoded, or the header of a JPEG claims more pixels than its
            bytes can hold. It is raised when the graph runs.
    """

    def jpeg():
        with tf.control_dependencies([_plausible_size(contents, tf.io.extract_jpeg_shape(contents))]):
            return tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE")

    image = tf.cond(
        tf.io.is_jpeg(contents), jpeg, lambda: tf.io.decode_image(contents, channels, expand_animations=False)
    )
    image = _upright(tf.ensure_shape(image, [None, None, channels]), exif_orientation(contents))
    return tf.ensure_shape(image, [None, None, channels])


def to_pixels(image, channels: int):
    """Decodes the bytes of a file; converts pixels to `channels` (grey is repeated to RGB, RGB becomes luminance)."""
    if image.dtype == tf.string:
        return decode_image(image, channels)
    if image.shape[-1] == channels:
        return image
    return tf.image.grayscale_to_rgb(image) if channels == 3 else tf.image.rgb_to_grayscale(image)


def decode_window(contents, channels: int, draw_window: Callable, smallest: int | None = None):
    """Decodes only a window of an image file; of an upright JPEG most of the work is skipped.

    Args:
        contents: scalar string tensor, the bytes of the file.
        channels: 1 or 3.
        draw_window: (height, width) int32 scalars -> int32 [4]: top, left, height, width.
        smallest: allows the decoder of a JPEG to shrink the window to 1/2, 1/4 or 1/8 by averaging, as long as both
            sides keep at least this length. The edges of the window then move to the nearest multiple of the factor.

    Returns:
        uint8 tensor [window height, window width, channels], or the shrunk window.

    Raises:
        tf.errors.InvalidArgumentError: the bytes cannot be decoded, or the header of a JPEG claims more pixels than its
            bytes can hold. It is raised when the graph runs.
    """

    def fused():
        shape = tf.io.extract_jpeg_shape(contents)
        with tf.control_dependencies([_plausible_size(contents, shape)]):
            window = draw_window(shape[0], shape[1])

        def whole_size():
            return tf.io.decode_and_crop_jpeg(contents, window, channels, dct_method="INTEGER_ACCURATE")

        def shrunk(factor):
            edges = tf.stack([window[:2], window[:2] + window[2:]])
            edges = tf.minimum((edges + factor // 2) // factor, -(-shape[:2] // factor))
            near = tf.concat([edges[0], edges[1] - edges[0]], 0)
            return tf.io.decode_and_crop_jpeg(contents, near, channels, factor, dct_method="INTEGER_ACCURATE")

        if smallest is None:
            return whole_size()
        # The edges are computed inside the branches: most crops are not shrunk, and small operations cost time too.
        which = tf.reduce_sum(tf.cast(tf.reduce_min(window[2:]) >= [f * smallest for f in _JPEG_FACTORS], tf.int32))
        return tf.switch_case(which, [whole_size, *(lambda factor=factor: shrunk(factor) for factor in _JPEG_FACTORS)])

    # `_noinline` keeps this branch a function call. Inlined, its operations cost time even when it is not taken.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def whole():
        image = decode_image(contents, channels)
        return crop(image, draw_window(tf.shape(image)[0], tf.shape(image)[1]))

    # A JPEG that was cut off is decoded as a whole, which raises an error. `decode_and_crop_jpeg` would fill the rest
    # with grey and raise none.
    complete = tf.equal(tf.strings.substr(contents, -2, 2), b"\xff\xd9")
    plain = tf.io.is_jpeg(contents) & complete & tf.equal(exif_orientation(contents), 1)
    return tf.ensure_shape(tf.cond(plain, fused, whole), [None, None, channels])


def crop(image, window):
    """Returns `image[top : top + height, left : left + width]` for `window` = int32 [4]: top, left, height, width."""
    return tf.slice(image, [window[0], window[1], 0], [window[2], window[3], -1])


def reencode(contents: bytes, channels: int) -> bytes:
    """Decodes with Pillow a file that TensorFlow cannot decode, and returns the upright image as PNG bytes.

    Raises:
        ValueError: the header claims more pixels than the bytes can hold.
        Exception: whatever Pillow raises for a file that it cannot decode.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(contents)) as image:
        most = max(_MOST_PIXELS_A_BYTE * len(contents), 0 if image.format == "JPEG" else _FEW_PIXELS)
        if image.width * image.height > most:
            raise ValueError(f"{len(contents)} bytes cannot hold the {image.width} x {image.height} pixels they claim")
        upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    png = io.BytesIO()
    upright.save(png, "PNG", compress_level=0)
    return png.getvalue()


def _plausible_size(contents, shape):
    """Returns an operation that fails when the `shape` in a header has more pixels than the bytes can hold."""
    pixels, size = tf.reduce_prod(tf.cast(shape[:2], tf.float32)), tf.cast(tf.strings.length(contents), tf.float32)
    return tf.debugging.Assert(pixels <= _MOST_PIXELS_A_BYTE * size, [shape])


def _upright(image, orientation):
    """Undoes the EXIF orientation: 5 to 8 are transposed; some are then mirrored left-right, some upside down."""

    def turned():
        result = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        lefts = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
        downs = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
        result = tf.cond(lefts, lambda: tf.reverse(result, [1]), lambda: result)
        return tf.cond(downs, lambda: tf.reverse(result, [0]), lambda: result)

    return tf.cond(tf.equal(orientation, 1), lambda: image, turned)
