"""Augmentation of a batch: RandomCutout in the pipeline, MixUp and CutMix inside the training step.

The pipeline draws the numbers that MixUp and CutMix need, one row for each image (`draw_mixing`). They cross to the
device beside the uint8 pixels and the whole labels. The step mixes with them (`mix`), and draws nothing itself. So a
device needs no image but its own, float32 pixels and dense labels exist only inside the step, and a resumed run mixes
as an undisturbed one.

Neighbours are mixed: image 0 with 1, 1 with 0, 2 with 3 and so on. A batch is in random order, so neighbours are as
random as any pairs. All devices together then compute what one device computes, as long as each has an even number of
images. The last image of an odd number is mixed with the first.

All draws come from stateless operations and our seed. keras-cv's layers draw from their own generators, which a
parallel pipeline cannot reproduce. Only its function that fills a rectangle is used.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.recipe.data_options import AugmentationOptions, RandomCutout


def batch_operations(options: AugmentationOptions, batch_size: int) -> Callable:
    """Returns (images, labels, seed, share) -> a part of a batch after `random_cutout`, and the draws of mixing.

    Args:
        options: `random_cutout`, `mixup`, `cutmix`.
        batch_size: the global batch; numbers are drawn for all of it, on every worker.

    `share` is the slice of the batch that `images` and `labels` are. The result is (images, labels) or (images, labels,
    draws), which `mix` takes; the dtypes of images and labels stay.
    """
    cut = random_cutout(options.random_cutout, batch_size) if options.random_cutout else None

    def augment(images, labels, seed, share=slice(None)):
        if cut:
            images = cut(images, _fold_in(seed, 0), share)
        if not (options.mixup or options.cutmix):
            return images, labels
        draws = draw_mixing(options, batch_size, images.shape[1], _fold_in(seed, 1))
        length = images.shape[0]
        return images, labels, {n: tf.ensure_shape(d[share], [length, *d.shape[1:]]) for n, d in draws.items()}

    return augment


def random_cutout(options: RandomCutout, batch_size: int) -> Callable:
    """Returns (uint8 images, seed, share) -> images, each with one rectangle set to `options.fill_value`.

    Args:
        options: the sides of the rectangle and its value.
        batch_size: the global batch; numbers are drawn for all of it.

    `share` is the slice of the batch that the images are.
    """
    from keras_cv.layers import RandomCutout as KerasCVRandomCutout

    layer = KerasCVRandomCutout(options.height, options.width, fill_value=options.fill_value)

    def cut(images, seed, share=slice(None)):
        height, width = tf.unstack(tf.shape(images)[1:3])
        draws = tf.random.stateless_uniform([4, batch_size], seed)[:, share]

        def side(draw, shares, length):
            pixels = (shares[0] + draw * (shares[1] - shares[0])) * tf.cast(length, tf.float32)
            return tf.cast(tf.math.ceil(pixels), tf.int32)

        rectangles = {
            "centers_x": tf.cast(draws[0] * tf.cast(width, tf.float32), tf.int32),
            "centers_y": tf.cast(draws[1] * tf.cast(height, tf.float32), tf.int32),
            "rectangles_height": side(draws[2], options.height, height),
            "rectangles_width": side(draws[3], options.width, width),
        }
        return tf.cast(layer.augment_images(tf.cast(images, tf.float32), transformations=rectangles), images.dtype)

    return cut


def draw_mixing(options: AugmentationOptions, count: int, size: int, seed) -> dict:
    """Draws how each of `count` images is mixed with its neighbour; with both `mixup` and `cutmix`, all by one of them.

    Args:
        options: `mixup` and `cutmix`, each the alpha of a Beta distribution.
        count: of images.
        size: the side of an image in pixels.
        seed: integer [2].

    Returns:
        What the options ask for of "mixup": the weight of each image itself, float32 [count], and "cutmix": the
        rectangle that is taken from the neighbour, int32 [count, 4], top, left, bottom, right. Of two, the one that was
        not drawn changes nothing: weights of 1, empty rectangles.
    """
    makers = {"mixup": lambda seed: _beta(options.mixup, count, _fold_in(seed, 1))}
    makers["cutmix"] = lambda seed: _rectangles(options.cutmix, count, size, seed)
    neutral = {"mixup": tf.ones([count]), "cutmix": tf.zeros([count, 4], tf.int32)}
    wanted = [name for name in makers if getattr(options, name)]
    which = tf.random.stateless_uniform([], seed, 0, len(wanted), tf.int32)
    drawn = {name: makers[name](_fold_in(seed, 1)) for name in wanted}
    return {name: tf.where(tf.equal(which, i), drawn[name], neutral[name]) for i, name in enumerate(wanted)}


def mix(images, labels, draws: dict, classes: int):
    """Mixes images and labels of one device by MixUp (Zhang et al. 2017) or CutMix (Yun et al. 2019).

    MixUp blends each image with its neighbour. CutMix replaces a rectangle of it by that of its neighbour, and weights
    the labels by the areas.

    Args:
        images: [B, S, S, C], 0-255.
        labels: int32 [B], or [B, classes] of zeros and ones.
        draws: of `draw_mixing`, for these images.
        classes: the length of the labels that mixing gives.

    Returns:
        images, float32 with "mixup", and labels float32 [B, classes]; those of [B] sum to 1.
    """
    count = tf.shape(images)[0]
    # The image beside each: 1, 0, 3, 2 and so on.
    beside = tf.bitwise.bitwise_xor(tf.range(count), 1)
    beside = tf.where(beside < count, beside, 0)
    others, weight = tf.gather(images, beside), tf.ones([count])
    if "mixup" in draws:
        weight = draws["mixup"]
        images, others = (tf.cast(pixels, tf.float32) for pixels in (images, others))
        images = _blend(images, others, weight)
    if "cutmix" in draws:
        top, left, bottom, right = (draws["cutmix"][:, i, tf.newaxis] for i in range(4))
        height, width = images.shape[1:3]
        rows, columns = tf.range(height), tf.range(width)
        in_rows, in_columns = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
        inside = in_rows[:, :, tf.newaxis, tf.newaxis] & in_columns[:, tf.newaxis, :, tf.newaxis]
        images = tf.where(inside, others, images)
        area = tf.cast((bottom - top) * (right - left), tf.float32)[:, 0] / (height * width)
        weight *= 1.0 - area
    labels = tf.one_hot(labels, classes) if len(labels.shape) == 1 else tf.cast(labels, tf.float32)
    return images, _blend(labels, tf.gather(labels, beside), weight)


def _rectangles(alpha: float, count: int, size: int, seed):
    """Draws squares, int32 [count, 4], cut off at the edges. The share of the rest is a draw of Beta(alpha, alpha)."""
    weights = _beta(alpha, count, _fold_in(seed, 1))
    centres = tf.floor(tf.random.stateless_uniform([2, count], _fold_in(seed, 2)) * size)
    return cut_squares(weights, centres, size)


def cut_squares(weights, centres, size: int):
    """Returns squares, int32 [count, 4], top, left, bottom, right, as timm cuts them.

    Args:
        weights: the share of each image that should stay, float32 [count].
        centres: float32 [2, count], rows and columns.
        size: the side of an image; the squares are cut off there.
    """
    side = tf.floor(tf.sqrt(1.0 - weights) * size)
    before, behind = tf.floor(side / 2), tf.math.ceil(side / 2)
    ends = tf.stack([centres[0] - before, centres[1] - before, centres[0] + behind, centres[1] + behind], 1)
    return tf.cast(tf.clip_by_value(ends, 0.0, float(size)), tf.int32)


def _beta(alpha: float, count: int, seed):
    """Returns `count` draws from Beta(alpha, alpha)."""
    gammas = tf.random.stateless_gamma([2, count], seed, alpha=alpha)
    return gammas[0] / tf.reduce_sum(gammas, axis=0)


def _blend(values, others, weight):
    """Returns `weight * values + (1 - weight) * others`, with one weight for each example."""
    weight = tf.reshape(weight, [-1, *[1] * (values.shape.rank - 1)])
    return weight * values + (1.0 - weight) * others


def _fold_in(seed, number: int):
    return tf.random.experimental.stateless_fold_in(seed, number)
