"""RandAugment (Cubuk et al. 2019) of one image, with keras-cv's operations and random numbers of our own.

keras-cv's layers draw from their own generators, which a parallel pipeline cannot reproduce. Here stateless operations
draw the numbers from our seed, with the distributions of keras-cv; its layers only change the pixels.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.recipe.data_options import RandAugment


def rand_augment(options: RandAugment) -> Callable:
    """Returns (image uint8 [S, S, 3], seed integer [2]) -> uint8 image after `options.count` random operations."""
    operations = _policy(options)

    def augment(image, seed):
        image = tf.cast(image, tf.float32)[tf.newaxis]
        for number in range(options.count):
            draw = tf.random.experimental.stateless_fold_in(seed, number)
            applied, choice = tf.unstack(tf.random.stateless_uniform([2], draw))
            chosen = tf.minimum(tf.cast(choice * len(operations), tf.int32), len(operations) - 1)
            chosen = tf.where(applied <= options.rate, chosen, len(operations))  # The last branch changes nothing.
            factors = _Factors(tf.random.experimental.stateless_fold_in(draw, 1), options)
            branches = [lambda image=image, apply=apply, f=factors: apply(image, f) for apply in operations]
            image = tf.ensure_shape(tf.switch_case(chosen, [*branches, lambda image=image: image]), image.shape)
        return tf.saturate_cast(tf.round(image[0]), tf.uint8)

    return augment


class _Factors:
    """Draws random strengths as the RandAugment policy of keras-cv does; each draw has its own seed."""

    def __init__(self, seed, options: RandAugment):
        self._seed, self._options = seed, options

    def _draw(self, which: int):
        return tf.random.experimental.stateless_fold_in(self._seed, which)

    def normal(self, which: int = 0):
        """Returns a normal draw around the magnitude, clipped to 0..1; each `which` gives another draw."""
        draw = tf.random.stateless_normal([], self._draw(which))
        return tf.clip_by_value(self._options.magnitude + self._options.magnitude_stddev * draw, 0.0, 1.0)

    def signed(self):
        """Returns the draw of `normal` with a random sign."""
        return self.normal() * tf.where(tf.random.stateless_uniform([], self._draw(2)) > 0.5, -1.0, 1.0)

    def uniform(self):
        """Returns a uniform draw between minus and plus the magnitude."""
        return tf.random.stateless_uniform([], self._draw(3), -1.0, 1.0) * self._options.magnitude


def _policy(options: RandAugment) -> list[Callable]:
    """Returns keras-cv's ten operations as (images [1, S, S, 3], factors) -> images; the last four are geometric."""
    from keras_cv.layers import Equalization
    from keras_cv.layers import RandAugment as KerasCVRandAugment

    layers = KerasCVRandAugment.get_standard_policy(
        (0, 255), options.magnitude, options.magnitude_stddev, geometric=options.geometric, seed=0
    )

    def single(factor):
        return tf.reshape(factor, [1, 1, 1, 1])

    def solarize(f):
        return {"additions": single(110.0 * f.normal(0)), "thresholds": single(255.0 - 255.0 * f.normal(1))}

    def pair(first, one, second, other):
        return {first: tf.reshape(one, [1, 1]), second: tf.reshape(other, [1, 1])}

    draws = [
        lambda f: None,  # automatic contrast
        lambda f: None,  # equalisation
        solarize,
        lambda f: single(f.normal()),  # colour degeneration
        lambda f: single(1.0 + f.uniform()),  # contrast
        lambda f: single(255.0 * f.uniform()),  # brightness
        lambda f: pair("shear_x", f.signed(), "shear_y", 0.0),
        lambda f: pair("shear_x", 0.0, "shear_y", f.signed()),
        lambda f: pair("height_translations", 0.0, "width_translations", f.uniform()),
        lambda f: pair("height_translations", f.uniform(), "width_translations", 0.0),
    ]

    def operation(layer, draw):
        # Equalization has Python conditions on tensors and needs autograph; the other layers trace faster without it.
        convert = isinstance(layer, Equalization)
        move = tf.function(lambda images, f: layer.augment_images(images, transformations=f), autograph=convert)
        return lambda images, factors: move(images, draw(factors))

    return [operation(layer, draw) for layer, draw in zip(layers, draws, strict=False)]
