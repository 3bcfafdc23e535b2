"""Crop windows, resizing, flips and affine moves of one image. A stateless seed (integer [2]) decides all draws."""

import math
from collections.abc import Callable

import tensorflow as tf

from kerasnets.data.images.decode import crop


def central_window(height, width, size: int):
    """Returns the central square as int32 [4] (top, left, size, size); halves of its corner round to even."""
    top = tf.cast(tf.round(tf.cast(height - size, tf.float32) / 2.0), tf.int32)
    left = tf.cast(tf.round(tf.cast(width - size, tf.float32) / 2.0), tf.int32)
    return tf.stack([top, left, size, size])


def random_resized_window(height, width, scale, ratio, seed):
    """Draws the rectangle of a training crop as GoogLeNet does.

    Up to ten tries draw an area, uniform in `scale` times the area of the image, and an aspect ratio, log-uniform in
    `ratio`. The first rectangle that fits inside the image is placed uniformly. If none fits, the result is the largest
    central rectangle with an allowed ratio.

    Args:
        height, width: of the image, int32 scalars.
        scale: (low, high) share of the area.
        ratio: (low, high) width / height.
        seed: integer [2].

    Returns:
        int32 [4]: top, left, height, width.
    """
    area_draw, aspect_draw, *place_draws = tf.unstack(tf.random.stateless_uniform([4, 10], seed))
    full = tf.cast(tf.stack([height, width]), tf.float32)
    area = tf.reduce_prod(full) * (scale[0] + area_draw * (scale[1] - scale[0]))
    aspect = tf.exp(math.log(ratio[0]) + aspect_draw * (math.log(ratio[1]) - math.log(ratio[0])))
    tries = tf.round(tf.sqrt([area / aspect, area * aspect]))
    largest = tf.clip_by_value(tf.round(full[::-1] * [1 / ratio[0], ratio[1]]), 1.0, full)
    # The central rectangle is appended as the last try, which always fits. Placed at 0.5 it is central, and no branch
    # of the graph is needed.
    sides = tf.concat([tries, largest[:, tf.newaxis]], 1)
    first = tf.argmax(tf.reduce_all((sides >= 1) & (sides <= full[:, tf.newaxis]), 0))
    side = tf.gather(sides, first, axis=1)
    place = tf.gather(tf.pad(place_draws, [[0, 0], [0, 1]], constant_values=0.5), first, axis=1)
    free = full - side
    return tf.cast(tf.concat([tf.maximum(tf.math.ceil(place * (free + 1)) - 1, 0), side], 0), tf.int32)


def scale_jitter_window(height, width, scale_jitter, size: int, seed):
    """Draws the square that a random `size` x `size` crop shows after the shorter side is resized to a random length.

    Args:
        height, width: of the image, int32 scalars.
        scale_jitter: (low, high) length of the shorter side after resizing, whole and uniform.
        size: the side of the crop after resizing.
        seed: integer [2].

    Returns:
        int32 [4]: top, left, height, width, in pixels of the image before it is resized.
    """
    low, high = scale_jitter
    draws = tf.random.stateless_uniform([3], seed)
    shorter = tf.minimum(low + tf.floor(draws[0] * (high + 1 - low)), high)
    full = tf.cast(tf.stack([height, width]), tf.float32)
    side = tf.maximum(1.0, tf.round(tf.reduce_min(full) * size / shorter))
    corner = tf.minimum(tf.floor(draws[1:] * (full - side + 1)), full - side)
    return tf.cast(tf.stack([corner[0], corner[1], side, side]), tf.int32)


def resize_shorter(image, shorter, method: str, antialias: bool = True, as_pillow: bool = False):
    """Resizes an image so that its shorter side becomes `shorter`; its proportions stay."""
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scaled = tf.round(tf.cast(shorter, tf.float64) * sides / tf.reduce_min(sides))
    height, width = tf.unstack(tf.cast(scaled, tf.int32))
    return resize(image, height, width, method, antialias, as_pillow)


def fit_inside(image, size: int, method: str):
    """Resizes an image so that its longer side becomes `size`, and centres it on a black square."""
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scaled = tf.cast(tf.round(tf.cast(size, tf.float64) * sides / tf.reduce_max(sides)), tf.int32)
    height, width = tf.unstack(tf.maximum(scaled, 1))
    image = resize(image, height, width, method, antialias=True, as_pillow=True)
    return tf.image.resize_with_crop_or_pad(image, size, size)


def resize(image, height, width, method: str, antialias: bool, as_pillow: bool = False):
    """Resizes an image to whole pixel values; an image that has the size already is returned unchanged.

    `as_pillow` resizes bicubic in two passes, first along the width. Bicubic overshoots, and Pillow clips and rounds
    between the passes. One pass is twice as fast, and up to nine levels away from Pillow, which can change the
    probabilities of a network by 0.02.
    """

    def resized():
        between = tf.cast(image, tf.float32) if method == "bilinear" and not antialias else image
        if as_pillow and method == "bicubic":
            between = _to_uint8(
                tf.image.resize(image, [tf.shape(image)[0], width], method, antialias=antialias), method
            )
        return _to_uint8(tf.image.resize(between, [height, width], method, antialias=antialias), method)

    same = tf.logical_and(tf.equal(tf.shape(image)[0], height), tf.equal(tf.shape(image)[1], width))
    return tf.cond(same, lambda: image, resized)


def average_and_interpolate(image, size: int):
    """Resizes a training crop to uint8 [size, size, C]: averages what a new pixel covers, then enlarges bilinearly.

    Pillow's filter is wider, and in TensorFlow it takes longer than decoding the crop.
    """
    shape, pixels = tf.shape(image)[:2], tf.cast(image, tf.float32)  # TensorFlow resizes float32 faster than uint8
    smaller = tf.minimum(shape, size)
    shrinks, enlarges = tf.reduce_any(shape > size), tf.reduce_any(shape < size)
    pixels = tf.cond(shrinks, lambda: tf.image.resize(pixels, smaller, "area"), lambda: pixels)
    pixels = tf.cond(enlarges, lambda: tf.image.resize(pixels, [size, size]), lambda: pixels)
    return tf.ensure_shape(_to_uint8(pixels, "bilinear"), [size, size, image.shape[-1]])


def _to_uint8(image, method: str):
    """Rounds as Pillow does, halves up.

    Only filters with negative weights overshoot. The other results are not clipped, which would cost as much as
    resizing.
    """
    if image.dtype == tf.uint8:
        return image
    if method in ("bicubic", "lanczos3"):
        image = tf.clip_by_value(image, 0.0, 255.0)
    return tf.cast(image + 0.5, tf.uint8)


def random_crop(image, size: int, seed):
    """Cuts a `size` x `size` square out of `image` [height, width, C], placed uniformly."""
    draws = tf.random.stateless_uniform([2], seed)
    places = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    corner = tf.minimum(tf.cast(draws * places, tf.int32), tf.shape(image)[:2] - size)
    return crop(image, tf.concat([corner, [size, size]], 0))


def pad_and_crop(options, size: int, mean=()) -> Callable:
    """Returns (image, seed) -> image: adds a border on each side, then takes a random `size` x `size` crop.

    Args:
        options: width and mode of the border.
        size: the side of the crop.
        mean: the colour of the border in the mode `mean`, 0-255, in the channel order of the image.
    """
    border = [[options.padding] * 2, [options.padding] * 2, [0, 0]]

    def move(image, seed):
        if options.mode == "mean":
            colour = tf.cast(tf.round(tf.constant(mean, tf.float32)), image.dtype)
            # The added colour fills the border of zeros. In uint8 the subtraction wraps around; the addition undoes it.
            padded = tf.pad(image - colour, border) + colour
        else:
            padded = tf.pad(image, border, options.mode.upper())
        return random_crop(padded, size, seed)

    return move


def random_flip(direction: str) -> Callable:
    """Returns (image, seed) -> image, mirrored with probability 1/2 left-right, upside down, or (both) in each way."""
    axes = {"horizontal": [1], "vertical": [0], "both": [0, 1]}[direction]

    def flip(image, seed):
        heads = tf.random.stateless_uniform([2], seed) < 0.5
        for axis in axes:
            image = _reverse_if(heads[axis], image, axis)
        return image

    return flip


def _reverse_if(heads, image, axis: int):
    return tf.cond(heads, lambda: tf.reverse(image, [axis]), lambda: image)


def affine(options) -> Callable:
    """Returns (image, seed) -> image, sheared, scaled and rotated about its centre, then shifted; new pixels are 0."""

    def move(image, seed):
        draws = tf.random.stateless_uniform([6], seed, -1.0, 1.0)
        angle = draws[0] * math.radians(options.rotation)
        shear = tf.tan(draws[1] * math.radians(options.shear))
        low, high = options.scale
        zoom = low + (draws[2] + 1.0) / 2.0 * (high - low)
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        shift_y, shift_x = draws[3] * options.shift * size[0], draws[4] * options.shift * size[1]
        center_y, center_x = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
        # From output pixel to input pixel: the inverse of the shift, then of rotation, scaling and shear.
        cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
        a, b, c, d = cos, sin + shear * cos, -sin, cos - shear * sin
        x0, y0 = center_x + shift_x, center_y + shift_y
        matrix = [a, b, center_x - a * x0 - b * y0, c, d, center_y - c * x0 - d * y0, 0.0, 0.0]
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(image, tf.float32)[tf.newaxis],
            transforms=tf.stack(matrix)[tf.newaxis],
            output_shape=tf.shape(image)[:2],
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
            fill_value=0.0,
        )[0]
        return tf.ensure_shape(tf.saturate_cast(tf.round(moved), tf.uint8), image.shape)

    return move
