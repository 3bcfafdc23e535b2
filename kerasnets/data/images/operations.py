"""The operations that AutoAugment, RandAugment and TrivialAugment choose from, as torchvision computes them.

Each takes a uint8 image [H, W, 3] and a float64 scalar, its argument, and returns a uint8 image of the same shape.
tests/data/test_policies.py compares each with torchvision's.
"""

import math

import tensorflow as tf

_GREY = (0.2989, 0.587, 0.114)


def identity(image, _):
    """Returns the image as it is."""
    return image


def brightness(image, change):
    """Multiplies all pixels by 1 + `change`."""
    return _blend(image, tf.zeros([], tf.float32), change)


def color(image, change):
    """Moves the colours away from grey by the factor 1 + `change`."""
    return _blend(image, tf.cast(_grey(image), tf.float32), change)


def contrast(image, change):
    """Moves the pixels away from the mean brightness of the image by the factor 1 + `change`."""
    return _blend(image, tf.reduce_mean(tf.cast(_grey(image), tf.float32)), change)


def sharpness(image, change):
    """Moves the pixels away from those of a smoothed image by the factor 1 + `change`; the outer pixels stay."""
    pixels = tf.cast(image, tf.float32)
    inner = pixels[1:-1, 1:-1]
    height, width = tf.unstack(tf.shape(image)[:2])
    shifted = [pixels[y : height - 2 + y, x : width - 2 + x] for y in range(3) for x in range(3)]
    smooth = tf.round((tf.add_n(shifted) + 4.0 * inner) / 13.0)
    edge = [[1, 1], [1, 1], [0, 0]]
    inside = tf.pad(tf.ones_like(inner), edge) > 0
    return _blend(image, tf.where(inside, tf.pad(smooth, edge), pixels), change)


def posterize(image, bits):
    """Keeps the `bits` highest bits of each pixel."""
    step = tf.bitwise.left_shift(1, 8 - tf.cast(bits, tf.int32))
    return tf.cast(tf.cast(image, tf.int32) // step * step, tf.uint8)


def solarize(image, threshold):
    """Inverts the pixels that are not below `threshold`."""
    return tf.where(tf.cast(image, tf.float64) >= threshold, 255 - image, image)


def solarize_add(image, addition):
    """Adds a whole number to the pixels below 128."""
    pixels = tf.cast(image, tf.int32)
    added = tf.minimum(pixels + tf.cast(addition, tf.int32), 255)
    return tf.cast(tf.where(pixels < 128, added, pixels), tf.uint8)


def auto_contrast(image, _):
    """Stretches each channel to 0-255."""
    pixels = tf.cast(image, tf.float32)
    low, high = tf.reduce_min(pixels, [0, 1]), tf.reduce_max(pixels, [0, 1])
    flat = tf.equal(low, high)
    scale = tf.where(flat, 1.0, 255.0 / tf.where(flat, 1.0, high - low))
    return tf.cast(tf.clip_by_value((pixels - tf.where(flat, 0.0, low)) * scale, 0.0, 255.0), tf.uint8)


def equalize(image, _):
    """Makes the levels of each channel about equally frequent."""
    channels = [_equalize(tf.cast(channel, tf.int32)) for channel in tf.unstack(image, axis=-1)]
    return tf.cast(tf.stack(channels, -1), tf.uint8)


def invert(image, _):
    """Replaces each pixel by 255 minus itself."""
    return 255 - image


def shear_x(image, slope, fill=0.0):
    """Moves each row by `slope` times its distance from the upper edge."""
    return _moved(image, [[1.0, slope, slope / 2], [0.0, 1.0, 0.0]], fill)


def shear_y(image, slope, fill=0.0):
    """Moves each column by `slope` times its distance from the left edge."""
    return _moved(image, [[1.0, 0.0, 0.0], [slope, 1.0, slope / 2]], fill)


def translate_x(image, pixels, fill=0.0):
    """Moves the image to the right."""
    return _moved(image, [[1.0, 0.0, -pixels], [0.0, 1.0, 0.0]], fill)


def translate_y(image, pixels, fill=0.0):
    """Moves the image down."""
    return _moved(image, [[1.0, 0.0, 0.0], [0.0, 1.0, -pixels]], fill)


def rotate(image, degrees, fill=0.0):
    """Turns the image about its centre, counter-clockwise."""
    angle = degrees * (math.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float64))
    x, y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    return _moved(image, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]], fill)


# These make new pixels, whose colour is the argument `fill`: a level, or one for each channel.
GEOMETRIC = (shear_x, shear_y, translate_x, translate_y, rotate)


def _moved(image, matrix, fill):
    """Returns the image with each pixel read at `matrix` times (x, y, 1), bilinearly; pixels outside are `fill`."""
    rows = [tf.cast(value, tf.float32) for row in matrix for value in row]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=(tf.cast(image, tf.float32) - fill)[tf.newaxis],
        transforms=tf.stack([*rows, 0.0, 0.0])[tf.newaxis],
        output_shape=tf.shape(image)[:2],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )[0]
    return tf.saturate_cast(tf.round(moved + fill), tf.uint8)


def _grey(image):
    parts = tf.unstack(tf.cast(image, tf.float32), axis=-1)
    red, green, blue = (part * weight for part, weight in zip(parts, _GREY, strict=True))
    return tf.cast(red + green + blue, tf.uint8)[..., tf.newaxis]


def _blend(image, other, change):
    """Returns `(1 + change) image - change other`; fractions of a level are cut off, as in torchvision."""
    ratio = 1.0 + change
    mixed = tf.cast(ratio, tf.float32) * tf.cast(image, tf.float32) + tf.cast(1.0 - ratio, tf.float32) * other
    return tf.cast(tf.clip_by_value(mixed, 0.0, 255.0), tf.uint8)


def _equalize(channel):
    counts = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256, maxlength=256)
    last = tf.gather(counts, tf.reduce_max(channel))
    step = (tf.size(channel) - last) // 255
    table = (tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
    return tf.gather(table, channel)
