"""Image files -> pixels, in graph operations, so that training, prediction and an exported graph see the same.

What is decided here, for all of them:
* JPEG is decoded with the accurate integer transform, which gives Pillow's pixels; a crop is decoded without the rest,
  and a training crop that is to be shrunk to half its size or less is decoded at a half, a quarter or an eighth.
* EXIF orientation of a JPEG is applied. PNG, GIF, BMP, WebP: as stored.
* Animated GIF: the first frame. CMYK JPEG: converted. 16-bit PNG: the high byte. Transparency: dropped, not blended.
* A header that claims more pixels than the file can hold is not believed: memory for them would be lost.
* A file that TensorFlow refuses raises `tf.errors.InvalidArgumentError`; the pipeline then asks Pillow (`reencode`).
"""

import io
from collections.abc import Callable

import tensorflow as tf

# A JPEG decoder can leave out the finer waves of each block of 8 x 8 pixels, and gives an image divided by these.
_JPEG_STEPS = (1, 2, 4, 8)
# A photograph has 1 to 20 pixels to a byte, a blank page a few hundred, and a header that lies any number.
_MOST_PIXELS_A_BYTE = 1000.0
# Blank pictures of other formats have no such limit; as many pixels as this are no burden.
_FEW_PIXELS = 2**24
_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")

# The orientation entry of the first EXIF directory, little-endian (II) or big-endian (MM); \C is any byte.
_ORIENTATION = (
    r"^\C*Exif\x00\x00(?:II\*\x00\C*?\x12\x01\x03\x00\x01\x00\x00\x00([\x02-\x08])\x00"
    r"|MM\x00\*\C*?\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x02-\x08]))\C*$"
)


def is_image_file(name: str) -> bool:
    """True for a file name whose ending is one of the formats that can be decoded."""
    return name.lower().endswith(_SUFFIXES)


def exif_orientation(contents):
    """Returns the EXIF orientation of a JPEG's bytes (scalar string), int32; 1 (upright) when there is none."""

    def read():
        value = tf.strings.regex_replace(tf.strings.substr(contents, 0, 1024), _ORIENTATION, r"\1\2")
        found = tf.equal(tf.strings.length(value), 1)
        return tf.cond(found, lambda: tf.cast(tf.io.decode_raw(value, tf.uint8)[0], tf.int32), lambda: tf.constant(1))

    # Most files say within a few bytes that they carry no EXIF, and the long search is spared.
    named = tf.strings.regex_full_match(tf.strings.substr(contents, 0, 64), r"\C*Exif\x00\x00\C*")
    return tf.cond(tf.logical_and(named, tf.io.is_jpeg(contents)), read, lambda: tf.constant(1))


def decode_image(contents, channels: int):
    """Decodes an image file.

    Args:
        contents: scalar string tensor, the file's bytes.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8 tensor [height, width, channels], upright.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs and the bytes cannot be decoded, or a JPEG's header claims
            more pixels than its bytes can hold.
    """

    def jpeg():
        with tf.control_dependencies([_believable(contents, tf.io.extract_jpeg_shape(contents))]):
            return tf.io.decode_jpeg(contents, channels, dct_method="INTEGER_ACCURATE")

    image = tf.cond(
        tf.io.is_jpeg(contents), jpeg, lambda: tf.io.decode_image(contents, channels, expand_animations=False)
    )
    image = _upright(tf.ensure_shape(image, [None, None, channels]), exif_orientation(contents))
    return tf.ensure_shape(image, [None, None, channels])


def decode_window(contents, channels: int, draw_window: Callable, smallest: int | None = None):
    """Decodes only a window of an image file, which for an upright JPEG skips most of the work.

    Args:
        contents: scalar string tensor, the file's bytes.
        channels: 1 or 3.
        draw_window: (height, width) int32 scalars -> int32 [4]: top, left, height, width.
        smallest: allows a JPEG's window to come at a half, a quarter or an eighth of its size, as the decoder averages
            it on the way, while both sides keep this length; its edges then lie on the nearest multiples of that step.

    Returns:
        uint8 tensor [window height, window width, channels], or the smaller one.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs and the bytes cannot be decoded, or a JPEG's header claims
            more pixels than its bytes can hold.
    """

    def fused():
        shape = tf.io.extract_jpeg_shape(contents)
        with tf.control_dependencies([_believable(contents, shape)]):
            window = draw_window(shape[0], shape[1])

        def at(step, window):
            return tf.io.decode_and_crop_jpeg(contents, window, channels, step, dct_method="INTEGER_ACCURATE")

        if smallest is None:
            return at(1, window)
        room = tf.reduce_min(window[2:]) // smallest
        which = tf.reduce_sum(tf.cast(room >= _JPEG_STEPS[1:], tf.int32))
        step = tf.gather(_JPEG_STEPS, which)
        edges = tf.stack([window[:2], window[:2] + window[2:]])
        edges = tf.minimum((edges + step // 2) // step, -(-shape[:2] // step))
        near = tf.concat([edges[0], edges[1] - edges[0]], 0)
        return tf.switch_case(which, [lambda step=step: at(step, near) for step in _JPEG_STEPS])

    # Kept as a call: of a branch written into the graph, TensorFlow visits every operation also where it is not taken.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def whole():
        image = decode_image(contents, channels)
        return crop(image, draw_window(tf.shape(image)[0], tf.shape(image)[1]))

    # Of a window that lies behind a file's early end TensorFlow makes a grey area, without a word.
    complete = tf.equal(tf.strings.substr(contents, -2, 2), b"\xff\xd9")
    plain = tf.io.is_jpeg(contents) & complete & tf.equal(exif_orientation(contents), 1)
    return tf.ensure_shape(tf.cond(plain, fused, whole), [None, None, channels])


def crop(image, window):
    """Returns `image[top : top + height, left : left + width]` for `window` = int32 [4]: top, left, height, width."""
    return tf.slice(image, [window[0], window[1], 0], [window[2], window[3], -1])


def reencode(contents: bytes, channels: int) -> bytes:
    """Gives a file that TensorFlow refuses to Pillow and returns the upright image as PNG bytes.

    Raises:
        ValueError: for a header that claims more pixels than the bytes can hold.
        Exception: whatever Pillow raises for a file it cannot decode either.
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


def _believable(contents, shape):
    """Returns an operation that fails when a header claims a `shape` that the bytes cannot hold."""
    claimed, there = tf.reduce_prod(tf.cast(shape[:2], tf.float32)), tf.cast(tf.strings.length(contents), tf.float32)
    return tf.debugging.Assert(claimed <= _MOST_PIXELS_A_BYTE * there, [shape])


def _upright(image, orientation):
    """Undoes the eight EXIF orientations: 5-8 are transposed; then mirrored left-right and upside down as needed."""

    def turn():
        turned = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        lefts = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
        downs = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
        turned = tf.cond(lefts, lambda: tf.reverse(turned, [1]), lambda: turned)
        return tf.cond(downs, lambda: tf.reverse(turned, [0]), lambda: turned)

    return tf.cond(tf.equal(orientation, 1), lambda: image, turn)
