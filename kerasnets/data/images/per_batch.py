"""The one file that touches keras-cv: RandAugment per image; RandomCutout, MixUp and CutMix per batch.

keras-cv's layers draw from generators of their own, which a parallel pipeline cannot reproduce. So the numbers are
drawn here, by stateless operations from our seed, with the distributions keras-cv uses; its layers only move the pixels
and mix the labels.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.recipe.data_options import AugmentationOptions, RandAugment, RandomCutout


def rand_augment(options: RandAugment) -> Callable:
    """Returns (image uint8 [S, S, 3], seed integer [2]) -> uint8 image after `options.count` random operations."""
    operations = _policy(options)

    def augment(image, seed):
        image = tf.cast(image, tf.float32)[tf.newaxis]
        for turn in range(options.count):
            draw = tf.random.experimental.stateless_fold_in(seed, turn)
            applied, choice = tf.unstack(tf.random.stateless_uniform([2], draw))
            number = tf.minimum(tf.cast(choice * len(operations), tf.int32), len(operations) - 1)
            number = tf.where(applied <= options.rate, number, len(operations))
            factors = _Factors(tf.random.experimental.stateless_fold_in(draw, 1), options)
            branches = [lambda image=image, apply=apply, f=factors: apply(image, f) for apply in operations]
            image = tf.ensure_shape(tf.switch_case(number, [*branches, lambda image=image: image]), image.shape)
        return tf.saturate_cast(tf.round(image[0]), tf.uint8)

    return augment


class _Factors:
    """Random strengths as keras-cv's RandAugment policy draws them; each draw has a seed of its own."""

    def __init__(self, seed, options: RandAugment):
        self._seed, self._options = seed, options

    def _draw(self, which: int):
        return tf.random.experimental.stateless_fold_in(self._seed, which)

    def normal(self, which: int = 0):
        """A draw around the magnitude, cut to 0..1; another one for each `which`."""
        draw = tf.random.stateless_normal([], self._draw(which))
        return tf.clip_by_value(self._options.magnitude + self._options.magnitude_stddev * draw, 0.0, 1.0)

    def signed(self):
        """The normal draw with a random sign."""
        return self.normal() * tf.where(tf.random.stateless_uniform([], self._draw(2)) > 0.5, -1.0, 1.0)

    def even(self):
        """A uniform draw between minus and plus the magnitude."""
        return tf.random.stateless_uniform([], self._draw(3), -1.0, 1.0) * self._options.magnitude


def _policy(options: RandAugment) -> list[Callable]:
    """keras-cv's ten operations as (images [1, S, S, 3], factors) -> images; the last four are the geometric ones."""
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
        lambda f: single(1.0 + f.even()),  # contrast
        lambda f: single(255.0 * f.even()),  # brightness
        lambda f: pair("shear_x", f.signed(), "shear_y", 0.0),
        lambda f: pair("shear_x", 0.0, "shear_y", f.signed()),
        lambda f: pair("height_translations", 0.0, "width_translations", f.even()),
        lambda f: pair("height_translations", f.even(), "width_translations", 0.0),
    ]

    def operation(layer, draw):
        # Equalization has Python conditions on tensors, which autograph turns into operations; others trace faster so.
        convert = isinstance(layer, Equalization)
        move = tf.function(lambda images, f: layer.augment_images(images, transformations=f), autograph=convert)
        return lambda images, factors: move(images, draw(factors))

    return [operation(layer, draw) for layer, draw in zip(layers, draws, strict=False)]


def random_cutout(options: RandomCutout) -> Callable:
    """Returns (uint8 images [B, S, S, C], seed) -> images, each with one rectangle set to `options.fill_value`."""
    from keras_cv.layers import RandomCutout as KerasCVRandomCutout

    layer = KerasCVRandomCutout(options.height, options.width, fill_value=options.fill_value)

    def cut(images, seed):
        count, height, width = tf.unstack(tf.shape(images)[:3])
        draws = tf.random.stateless_uniform([4, count], seed)

        def side(draw, share, length):
            pixels = (share[0] + draw * (share[1] - share[0])) * tf.cast(length, tf.float32)
            return tf.cast(tf.math.ceil(pixels), tf.int32)

        rectangles = {
            "centers_x": tf.cast(draws[0] * tf.cast(width, tf.float32), tf.int32),
            "centers_y": tf.cast(draws[1] * tf.cast(height, tf.float32), tf.int32),
            "rectangles_height": side(draws[2], options.height, height),
            "rectangles_width": side(draws[3], options.width, width),
        }
        return tf.cast(layer.augment_images(tf.cast(images, tf.float32), transformations=rectangles), images.dtype)

    return cut


def batch_steps(options: AugmentationOptions, classes: int) -> Callable:
    """Returns (images, labels, seed) -> (images, labels): cutout, then MixUp or CutMix.

    Args:
        options: `random_cutout`, `mixup`, `cutmix`.
        classes: the length of the float labels that mixing gives.

    Without mixing, uint8 images and int32 labels stay so; with MixUp images become float32, with either labels float32
    [B, classes].
    """
    cut = random_cutout(options.random_cutout) if options.random_cutout else None
    mixers = [make(alpha) for make, alpha in ((_mixup, options.mixup), (_cutmix, options.cutmix)) if alpha]

    def augment(images, labels, seed):
        if cut:
            images = cut(images, tf.random.experimental.stateless_fold_in(seed, 0))
        if not mixers:
            return images, labels
        images = tf.cast(images, tf.float32) if options.mixup else images
        labels = tf.one_hot(labels, classes)
        draw = tf.random.experimental.stateless_fold_in(seed, 1)
        which = tf.random.stateless_uniform([], draw, 0, len(mixers), tf.int32)
        draw = tf.random.experimental.stateless_fold_in(draw, 1)
        return tf.switch_case(which, [lambda mix=mix: mix(images, labels, draw) for mix in mixers])

    return augment


def _beta(alpha: float, count, seed):
    """Draws `count` values from Beta(alpha, alpha)."""
    gammas = tf.random.stateless_gamma([2, count], seed, alpha=alpha)
    return gammas[0] / tf.reduce_sum(gammas, axis=0)


def _partners(count, seed):
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed)


def _mixup(alpha: float) -> Callable:
    """MixUp (Zhang et al. 2017): each image and its label blended with another of the batch."""
    from keras_cv.layers import MixUp

    layer = MixUp(alpha)

    def mix(images, labels, seed):
        count = tf.shape(images)[0]
        partners = _partners(count, seed)
        weight = _beta(alpha, count, tf.random.experimental.stateless_fold_in(seed, 1))
        column = tf.reshape(weight, [-1, 1, 1, 1])
        mixed = column * images + (1.0 - column) * tf.gather(images, partners)
        return mixed, layer._update_labels(labels, weight, partners)

    return mix


def _cutmix(alpha: float) -> Callable:
    """CutMix (Yun et al. 2019): a rectangle of each image replaced by that of another, labels weighted by area."""
    from keras_cv.layers import CutMix
    from keras_cv.src.utils.fill_utils import corners_to_mask

    layer = CutMix(alpha)

    def mix(images, labels, seed):
        count, height, width = tf.unstack(tf.shape(images)[:3])
        partners = _partners(count, seed)
        side = tf.sqrt(1.0 - _beta(alpha, count, tf.random.experimental.stateless_fold_in(seed, 1)))
        centers = tf.random.stateless_uniform([2, count], tf.random.experimental.stateless_fold_in(seed, 2))
        spans = []
        for center, length in zip(tf.unstack(centers), (width, height), strict=True):
            length = tf.cast(length, tf.float32)
            middle, half = tf.floor(center * length), tf.floor(side * length) / 2.0
            spans.append(tf.round(tf.clip_by_value(tf.stack([middle - half, middle + half]), 0.0, length)))
        (left, right), (top, bottom) = tf.unstack(spans[0]), tf.unstack(spans[1])
        inside = corners_to_mask(tf.stack([left, top, right, bottom], axis=1), (width, height))[..., tf.newaxis]
        area = (right - left) * (bottom - top) / tf.cast(height * width, tf.float32)
        return tf.where(inside, tf.gather(images, partners), images), layer._update_labels(labels, 1.0 - area, partners)

    return mix
