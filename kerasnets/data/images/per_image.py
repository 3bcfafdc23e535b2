"""From an image file to the input of a network, for training, evaluation, prediction and export.

Training, in this order; an operation that the options leave off is skipped:

1. crop, decoded together with the file: `random_resized_crop`; or `scale_jitter`, the square that a random crop shows
   after the shorter side is resized to a random length; or, with neither of them, the crop of evaluation;
2. `pad_and_crop`   3. `random_flip`   4. `affine`   5. `color_jitter`   6. `pca_lighting`
7. `rand_augment`, `auto_augment` or `trivial_augment`   8. `random_erasing`.

After batching come `random_cutout` and `mixup` or `cutmix` (per_batch.py), then `normalise` inside the training step:
pixels stay uint8 until there, a quarter of the bytes of float32.

Evaluation: the shorter side is resized to round(size / crop_fraction), the longer side in proportion to the nearest
whole number, and the centre is cut out; or `data.geometry` stretches or pads the image.
Resizing is antialiased as in Pillow, and rounded to whole pixel values. The
filter of evaluation belongs to a checkpoint, because the scores of a network change with it. A random training crop is
resized by `augmentation.interpolation`, by default with a cheap filter (`geometry.average_and_interpolate`): Pillow's
bicubic filter takes longer than decoding, and the crop changes the image more than any filter.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from kerasnets.data.errors import decoding_error
from kerasnets.data.images import color, geometry
from kerasnets.data.images.decode import crop, decode_window, reencode, to_pixels
from kerasnets.data.images.erasing import random_erasing
from kerasnets.data.images.policies import auto_augment, rand_augment, trivial_augment
from kerasnets.layers.preprocessing import normalize_pixels
from kerasnets.recipe.data_options import AugmentationOptions, DataOptions
from kerasnets.registry import Preprocessing


def override(preprocessing: Preprocessing, options: DataOptions) -> Preprocessing:
    """Returns `preprocessing` with the size, crop fraction, interpolation and geometry that `options` set."""
    names = ("size", "crop_fraction", "interpolation", "geometry")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return dataclasses.replace(preprocessing, **given)


def for_training(preprocessing: Preprocessing, options: DataOptions) -> Preprocessing:
    """Returns `override(preprocessing, options)` with the size of training images."""
    found = override(preprocessing, options)
    return dataclasses.replace(found, size=options.training_size or found.size)


def evaluation_transform(preprocessing: Preprocessing) -> Callable:
    """Returns image -> uint8 [S, S, C]; an image is the bytes of a file (scalar string) or uint8 [height, width, C]."""
    size, channels = preprocessing.size, len(preprocessing.mean)
    shorter = round(size / preprocessing.crop_fraction)

    @tf.function(autograph=False)
    def transform(image):
        image, method = to_pixels(image, channels), preprocessing.interpolation
        if preprocessing.geometry == "stretch":
            return tf.ensure_shape(geometry.resize(image, size, size, method, True, True), [size, size, channels])
        if preprocessing.geometry == "pad":
            return tf.ensure_shape(geometry.fit_inside(image, size, method), [size, size, channels])
        image = geometry.resize_shorter(image, shorter, method, as_pillow=True)
        window = geometry.central_window(tf.shape(image)[0], tf.shape(image)[1], size)
        return tf.ensure_shape(crop(image, window), [size, size, channels])

    return transform


def training_transform(preprocessing: Preprocessing, options: AugmentationOptions) -> Callable:
    """Returns (image, seed) -> uint8 [S, S, C]; `seed` (int64 [2]) decides everything that is random.

    Raises:
        ValueError: an option needs three channels and the network takes one.
    """
    operations = training_operations(preprocessing, options)
    size, channels = preprocessing.size, len(preprocessing.mean)

    @tf.function(autograph=False)
    def transform(image, seed):
        for _, number, operation in operations:
            image = operation(image, fold_in(seed, number))
        return tf.ensure_shape(image, [size, size, channels])

    return transform


def training_operations(preprocessing: Preprocessing, options: AugmentationOptions) -> list[tuple[str, int, Callable]]:
    """Returns the operations of `training_transform` in order, as (name, number, (image, seed) -> uint8 image).

    An operation draws from the image's seed folded with its number. The numbers are fixed, so that switching one
    operation off leaves the random draws of the others as they are.
    """
    decode, resize_crop = _crop_operations(preprocessing, options)
    return [("decode", 0, decode), ("resize", 1, resize_crop), *_augmentations(preprocessing, options)]


def fold_in(seed, number):
    """Returns a new seed that depends on `seed` (integer [2]) and on `number`."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def load_image(path: str | os.PathLike, preprocessing: Preprocessing):
    """Reads one image file as evaluation does.

    Returns:
        float32 tensor [S, S, C], pixels 0-255, RGB or grey; `normalise` turns it into network input.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no such image file. Received: {str(path)!r}")
    # The Python function, because TensorFlow would trace the graph again for every file.
    transform = evaluation_transform(preprocessing).python_function
    contents = path.read_bytes()
    try:
        image = transform(tf.constant(contents))
    except tf.errors.OpError:
        try:
            image = transform(tf.constant(reencode(contents, len(preprocessing.mean))))
        except Exception as error:
            raise ValueError(f"{path} cannot be decoded as an image: {decoding_error(error)}") from None
    return tf.cast(image, tf.float32)


def normalise(images, preprocessing: Preprocessing, *, full_constants: bool = True):
    """Returns `(images - mean) / std` as float32, with the channels in the order that the network expects.

    Args:
        images: RGB or grey pixels 0-255, any dtype, tensor or array of shape [..., S, S, C]; never changed in place.
        preprocessing: mean and std, in the network's channel order.
        full_constants: spread mean and std to [S, S, C] where the size is known. That is an order of magnitude faster
            on the CPU than adding over a last axis of 3. Export passes False: the file would grow by these constants.

    Raises:
        ValueError: `images` have another number of channels than `preprocessing.mean`.
    """
    channels = len(preprocessing.mean)
    if images.shape[-1] not in (None, channels):
        raise ValueError(f"`images` must have {channels} channels. Received: images with shape {tuple(images.shape)}")
    numbers = (preprocessing.mean, preprocessing.std, preprocessing.channel_order)
    return normalize_pixels(images, *numbers, full_constants=full_constants)


def _crop_operations(preprocessing, options) -> tuple[Callable, Callable]:
    """Returns (image, seed) -> the pixels of the crop, and (pixels, seed) -> uint8 [S, S, C]."""
    size, channels, method = preprocessing.size, len(preprocessing.mean), options.interpolation
    draw = _window(options, size)
    if draw is None:
        evaluate = evaluation_transform(preprocessing)
        return lambda image, seed: to_pixels(image, channels), lambda pixels, seed: evaluate(pixels)

    def decode(image, seed):
        def window(height, width):
            return draw(height, width, seed)

        if image.dtype == tf.string:
            return decode_window(image, channels, window, smallest=size if options.antialias else None)
        return crop(to_pixels(image, channels), window(tf.shape(image)[0], tf.shape(image)[1]))

    def resize_crop(pixels, seed):
        if options.antialias and method == "bilinear":
            return geometry.average_and_interpolate(pixels, size)
        return geometry.resize(pixels, size, size, method, options.antialias)

    return decode, resize_crop


def _window(options, size: int) -> Callable | None:
    """Returns (height, width, seed) -> the random window of a training crop, or None without a random crop."""
    if box := options.random_resized_crop:
        return lambda height, width, seed: geometry.random_resized_window(height, width, box.scale, box.ratio, seed)
    if not (jitter := options.scale_jitter):
        return None
    if jitter[0] < size:
        raise ValueError(f"`scale_jitter` must not be below the input size {size}. Received: {jitter}")
    return lambda height, width, seed: geometry.scale_jitter_window(height, width, jitter, size, seed)


def _augmentations(preprocessing, options) -> list:
    """Returns operations 2 to 8 as far as they are switched on, as (name, number, (image, seed) -> image)."""
    size, order = preprocessing.size, -1 if preprocessing.channel_order == "bgr" else 1
    mean, std = preprocessing.mean[::order], preprocessing.std[::order]
    coloured = ("color_jitter", "pca_lighting", "rand_augment", "auto_augment", "trivial_augment")
    if len(mean) != 3 and any(getattr(options, name) for name in coloured):
        raise ValueError(
            f"`{'`, `'.join(coloured[:-1])}` and `{coloured[-1]}` need 3 channels. "
            f"Received: a network of {len(mean)} channel(s)"
        )
    return [
        (name, number, make(getattr(options, name)))
        for name, number, make in (
            ("pad_and_crop", 2, lambda given: geometry.pad_and_crop(given, size, mean)),
            ("random_flip", 3, geometry.random_flip),
            ("affine", 4, geometry.affine),
            ("color_jitter", 5, color.color_jitter),
            ("pca_lighting", 6, color.pca_lighting),
            ("rand_augment", 7, lambda given: rand_augment(given, mean)),
            ("auto_augment", 7, auto_augment),
            ("trivial_augment", 7, lambda given: trivial_augment()),
            ("random_erasing", 8, lambda given: random_erasing(given, mean, std)),
        )
        if getattr(options, name)
    ]
