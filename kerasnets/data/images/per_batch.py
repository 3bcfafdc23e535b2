"""Augmentation of a whole batch: RandomCutout, MixUp and CutMix, with random numbers of our own.

keras-cv's layers draw from their own generators, which a parallel pipeline cannot reproduce. Here stateless operations
draw the numbers from our seed, with the distributions of keras-cv; its functions fill the rectangles.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.recipe.data_options import AugmentationOptions, RandomCutout


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


def batch_operations(options: AugmentationOptions, classes: int) -> Callable:
    """Returns (images, labels, seed) -> (images, labels): cutout, then MixUp or CutMix.

    Args:
        options: `random_cutout`, `mixup`, `cutmix`.
        classes: the length of the float labels that mixing gives.

    Without mixing, images stay uint8 and labels int32. MixUp makes images float32; MixUp and CutMix make labels float32
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
    """Returns `count` draws from Beta(alpha, alpha)."""
    gammas = tf.random.stateless_gamma([2, count], seed, alpha=alpha)
    return gammas[0] / tf.reduce_sum(gammas, axis=0)


def _partners(count, seed):
    """Returns for each image of a batch the number of the image it is mixed with."""
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed)


def _blend(values, partners, weight):
    """Returns `weight * values + (1 - weight) * values[partners]`, with one weight for each example."""
    weight = tf.reshape(weight, [-1, *[1] * (values.shape.rank - 1)])
    return weight * values + (1.0 - weight) * tf.gather(values, partners)


def _mixup(alpha: float) -> Callable:
    """MixUp (Zhang et al. 2017): blends each image and its label with another of the batch."""

    def mix(images, labels, seed):
        count = tf.shape(images)[0]
        partners = _partners(count, seed)
        weight = _beta(alpha, count, tf.random.experimental.stateless_fold_in(seed, 1))
        return _blend(images, partners, weight), _blend(labels, partners, weight)

    return mix


def _cutmix(alpha: float) -> Callable:
    """CutMix (Yun et al. 2019): replaces a rectangle of each image by that of another; area weights the labels."""
    from keras_cv.src.utils.fill_utils import corners_to_mask

    def mix(images, labels, seed):
        count, height, width = tf.unstack(tf.shape(images)[:3])
        partners = _partners(count, seed)
        side = tf.sqrt(1.0 - _beta(alpha, count, tf.random.experimental.stateless_fold_in(seed, 1)))
        centers = tf.random.stateless_uniform([2, count], tf.random.experimental.stateless_fold_in(seed, 2))
        spans = []
        for center, length in zip(tf.unstack(centers), (width, height), strict=True):
            length = tf.cast(length, tf.float32)
            center, half = tf.floor(center * length), tf.floor(side * length) / 2.0
            spans.append(tf.round(tf.clip_by_value(tf.stack([center - half, center + half]), 0.0, length)))
        (left, right), (top, bottom) = tf.unstack(spans[0]), tf.unstack(spans[1])
        inside = corners_to_mask(tf.stack([left, top, right, bottom], axis=1), (width, height))[..., tf.newaxis]
        area = (right - left) * (bottom - top) / tf.cast(height * width, tf.float32)
        return tf.where(inside, tf.gather(images, partners), images), _blend(labels, partners, 1.0 - area)

    return mix
