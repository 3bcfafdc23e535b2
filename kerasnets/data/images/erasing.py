"""Random erasing (Zhong et al. 2017) of one image."""

import math
from collections.abc import Callable

import tensorflow as tf

from kerasnets.recipe.data_options import RandomErasing


def random_erasing(options: RandomErasing, mean, std) -> Callable:
    """Returns (image, seed) -> image, in which with `options.probability` one rectangle is erased.

    Args:
        options: shape of the rectangle, and what it is filled with.
        mean, std: of the network's normalisation, in the channel order of the image. `mean` fills with the mean colour,
            which normalisation turns into 0; `noise` with normal noise of that mean and deviation.
    """

    def erase(image, seed):
        place, applied, noise = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        height, width = tf.unstack(tf.shape(image)[:2])
        draws = tf.random.stateless_uniform([4, 10], place)
        top, left, high, wide = tf.unstack(erased_window(height, width, options.scale, options.ratio, draws))
        rows, columns = tf.range(height), tf.range(width)
        in_rows, in_columns = (rows >= top) & (rows < top + high), (columns >= left) & (columns < left + wide)
        inside = in_rows[:, tf.newaxis, tf.newaxis] & in_columns[tf.newaxis, :, tf.newaxis]
        colour = tf.constant(mean, tf.float32)
        if options.fill == "noise":
            colour += tf.random.stateless_normal(tf.shape(image), noise) * tf.constant(std, tf.float32)
        inside &= tf.random.stateless_uniform([], applied) < options.probability
        return tf.where(inside, tf.saturate_cast(tf.round(colour), tf.uint8), image)

    return erase


def erased_window(height, width, scale, ratio, draws):
    """Returns the rectangle to erase, int32 [4]: top, left, height, width; empty if none of ten tries fits.

    Args:
        height, width: of the image, int32 scalars.
        scale: (low, high) share of the area.
        ratio: (low, high) height / width; its logarithm is uniform.
        draws: float32 [4, 10], uniform: area, ratio, top and left of each try.
    """
    full = tf.cast(tf.stack([height, width]), tf.float32)[:, tf.newaxis]
    area = tf.reduce_prod(full) * (scale[0] + draws[0] * (scale[1] - scale[0]))
    aspect = tf.exp(math.log(ratio[0]) + draws[1] * (math.log(ratio[1]) - math.log(ratio[0])))
    sides = tf.round(tf.sqrt([area * aspect, area / aspect]))
    # The appended try is empty, and always fits.
    fits = tf.concat([tf.reduce_all(sides < full, 0), [True]], 0)
    corners = tf.minimum(tf.floor(draws[2:] * (full - sides + 1.0)), full - sides)
    window = tf.pad(tf.concat([corners, sides], 0), [[0, 0], [0, 1]])
    return tf.cast(window[:, tf.argmax(fits)], tf.int32)
