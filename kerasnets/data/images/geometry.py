"""Where pixels go: crops, flips, small affine moves. All that is random comes from a stateless seed (integer [2])."""

import math
from collections.abc import Callable

import tensorflow as tf

from kerasnets.data.images.decode import crop


def central_window(height, width, size: int):
    """Returns the central square as int32 [4] (top, left, size, size); its corner is rounded half to even."""
    top = tf.cast(tf.round(tf.cast(height - size, tf.float32) / 2.0), tf.int32)
    left = tf.cast(tf.round(tf.cast(width - size, tf.float32) / 2.0), tf.int32)
    return tf.stack([top, left, size, size])


def random_resized_window(height, width, scale, ratio, seed):
    """Draws the rectangle of GoogLeNet's training crops.

    Up to ten times: an area uniform in `scale` times the image's, an aspect ratio log-uniform in `ratio`; the first
    that fits inside lies anywhere with equal chance. When none fits, the largest central rectangle whose ratio is
    allowed.

    Args:
        height, width: the image's, int32 scalars.
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
    # One branch for all: the central rectangle is the last try, which always fits, half of the room before it.
    sides = tf.concat([tries, largest[:, tf.newaxis]], 1)
    first = tf.argmax(tf.reduce_all((sides >= 1) & (sides <= full[:, tf.newaxis]), 0))
    side = tf.gather(sides, first, axis=1)
    place = tf.gather(tf.pad(place_draws, [[0, 0], [0, 1]], constant_values=0.5), first, axis=1)
    room = full - side
    return tf.cast(tf.concat([tf.maximum(tf.math.ceil(place * (room + 1)) - 1, 0), side], 0), tf.int32)


def scale_jitter_window(height, width, scale_jitter, size: int, seed):
    """Draws the square that a random `size` x `size` crop shows once the shorter side has a random length.

    Args:
        height, width: the image's, int32 scalars.
        scale_jitter: (low, high), the whole lengths that the shorter side is resized to, all with equal chance.
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


def random_crop(image, size: int, seed):
    """Cuts a `size` x `size` square out of `image` [height, width, C], any place with equal chance."""
    draws = tf.random.stateless_uniform([2], seed)
    room = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    corner = tf.minimum(tf.cast(draws * room, tf.int32), tf.shape(image)[:2] - size)
    return crop(image, tf.concat([corner, [size, size]], 0))


def pad_and_crop(options, size: int, mean=()) -> Callable:
    """Returns (image, seed) -> image: a border on each side, then a random `size` x `size` crop.

    mean: the colour of the border with the mode `mean`, 0-255, in the image's order of channels.
    """
    border = [[options.padding] * 2, [options.padding] * 2, [0, 0]]

    def move(image, seed):
        if options.mode == "mean":
            colour = tf.cast(tf.round(tf.constant(mean, tf.float32)), image.dtype)
            # Padded after the subtraction, which wraps around and is undone by the sum.
            padded = tf.pad(image - colour, border) + colour
        else:
            padded = tf.pad(image, border, options.mode.upper())
        return random_crop(padded, size, seed)

    return move


def random_flip(direction: str) -> Callable:
    """Returns (image, seed) -> image, at even odds mirrored left-right (horizontal), upside down (vertical) or each."""
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
    """Returns (image, seed) -> image: sheared, scaled and turned about its centre, then shifted; new pixels are 0."""

    def move(image, seed):
        draws = tf.random.stateless_uniform([6], seed, -1.0, 1.0)
        angle = draws[0] * math.radians(options.rotation)
        shear = tf.tan(draws[1] * math.radians(options.shear))
        low, high = options.scale
        zoom = low + (draws[2] + 1.0) / 2.0 * (high - low)
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        shift_y, shift_x = draws[3] * options.shift * size[0], draws[4] * options.shift * size[1]
        center_y, center_x = (size[0] - 1.0) / 2.0, (size[1] - 1.0) / 2.0
        # Output pixel -> input pixel: undo the shift, then turn, zoom and shear the other way round.
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
