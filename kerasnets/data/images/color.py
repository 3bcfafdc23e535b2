"""Random changes of colour of a uint8 RGB image. A stateless seed (integer [2]) decides all random draws."""

from collections.abc import Callable

import tensorflow as tf

# Principal components of ImageNet's RGB values (0-255): standard deviations, and directions with rows R, G, B.
_DEVIATIONS = (55.46, 4.794, 1.148)
_DIRECTIONS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_LUMINANCE = (0.2989, 0.587, 0.114)


def color_jitter(options) -> Callable:
    """Returns (image, seed) -> image with random brightness, contrast, saturation and hue, always in this order."""

    def jitter(image, seed):
        draws = tf.random.stateless_uniform([4], seed, -1.0, 1.0)
        image = tf.cast(image, tf.float32)
        if options.brightness:
            image = _clip(image * (1.0 + draws[0] * options.brightness))
        if options.contrast:
            image = _blend(image, tf.reduce_mean(_grey(image)), 1.0 + draws[1] * options.contrast)
        if options.saturation:
            image = _blend(image, _grey(image), 1.0 + draws[2] * options.saturation)
        if options.hue:
            image = tf.image.adjust_hue(image / 255.0, draws[3] * options.hue) * 255.0
        return _round(image)

    return jitter


def pca_lighting(deviation: float) -> Callable:
    """Returns (image, seed) -> image with one random colour added to all pixels (AlexNet, section 4.1).

    The colour is the sum over the principal components of ImageNet's colours: direction, times standard deviation,
    times a normal draw with standard deviation `deviation` (0.1 in the paper).
    """

    def light(image, seed):
        draws = tf.random.stateless_normal([3], seed, stddev=deviation)
        shift = tf.linalg.matvec(tf.constant(_DIRECTIONS), draws * tf.constant(_DEVIATIONS))
        return _round(tf.cast(image, tf.float32) + shift)

    return light


def _grey(image):
    return tf.reduce_sum(image * tf.constant(_LUMINANCE), axis=-1, keepdims=True)


def _blend(image, other, factor):
    return _clip(other + factor * (image - other))


def _clip(image):
    return tf.clip_by_value(image, 0.0, 255.0)


def _round(image):
    return tf.saturate_cast(tf.round(image), tf.uint8)
