"""What happens to one image, in training and in evaluation: whole-number pixels in, uint8 [S, S, C] out.

The order in training; each step that the options leave off is skipped:

1. crop: `random_resized_crop` (decoded together with the file); or `scale_jitter`, the shorter side resized to a random
   length and a random square cut out; or, with neither, the evaluation transform;
2. `pad_and_crop`   3. `random_flip`   4. `affine`   5. `color_jitter`   6. `pca_lighting`   7. `rand_augment`.

After batching come `random_cutout` and `mixup` / `cutmix` (batch_augmentation.py), then normalisation inside the step.

Evaluation: the shorter side is resized to round(size / crop_fraction), the longer one to the nearest whole number in
proportion, the centre is cut out. Resizing is antialiased, as Pillow's; results are rounded to whole pixel values.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.data import batch_augmentation, color, geometry
from kerasnets.data.decode import crop, decode_image, decode_window
from kerasnets.data.options import AugmentationOptions
from kerasnets.registry import Preprocessing


def evaluation_transform(preprocessing: Preprocessing) -> Callable:
    """Returns image -> uint8 [S, S, C]; an image is a file's bytes (scalar string) or uint8 [height, width, C]."""
    size, channels = preprocessing.size, len(preprocessing.mean)
    shorter = round(size / preprocessing.crop_fraction)

    @tf.function(autograph=False)
    def transform(image):
        image = resize_shorter(to_pixels(image, channels), shorter, preprocessing.interpolation, as_pillow=True)
        window = geometry.central_window(tf.shape(image)[0], tf.shape(image)[1], size)
        return tf.ensure_shape(crop(image, window), [size, size, channels])

    return transform


def training_transform(preprocessing: Preprocessing, options: AugmentationOptions) -> Callable:
    """Returns (image, seed) -> uint8 [S, S, C]; `seed` is int64 [2] and decides all that is random.

    Raises:
        ValueError: when an option needs three channels and the network takes one.
    """
    steps = _steps(preprocessing, options)
    place = _placement(preprocessing, options)
    size, channels = preprocessing.size, len(preprocessing.mean)

    @tf.function(autograph=False)
    def transform(image, seed):
        image = place(image, fold_in(seed, 0))
        for number, step in steps:
            image = step(image, fold_in(seed, number))
        return tf.ensure_shape(_to_uint8(image), [size, size, channels])

    return transform


def fold_in(seed, number):
    """Returns a new seed that depends on `seed` (integer [2]) and on `number`."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def _placement(preprocessing, options) -> Callable:
    """Step 1: (image, seed) -> uint8 [S, S, C]."""
    size, channels, method = preprocessing.size, len(preprocessing.mean), preprocessing.interpolation
    if options.random_resized_crop:
        box = options.random_resized_crop

        def place(image, seed):
            def window(height, width):
                return geometry.random_resized_window(height, width, box.scale, box.ratio, seed)

            if image.dtype == tf.string:
                image = decode_window(image, channels, window)
            else:
                image = crop(to_pixels(image, channels), window(tf.shape(image)[0], tf.shape(image)[1]))
            return resize(image, size, size, method, options.antialias)

        return place
    if options.scale_jitter:
        low, high = options.scale_jitter
        if low < size:
            raise ValueError(
                f"`scale_jitter` must not be below the input size {size}. Received: {options.scale_jitter}"
            )

        def place(image, seed):
            shorter = tf.random.stateless_uniform([], fold_in(seed, 0), low, high + 1, tf.int32)
            image = resize_shorter(to_pixels(image, channels), shorter, method, options.antialias)
            return geometry.random_crop(image, size, fold_in(seed, 1))

        return place
    evaluate = evaluation_transform(preprocessing)
    return lambda image, seed: evaluate(image)


def _steps(preprocessing, options) -> list:
    """Steps 2 to 7 that are switched on, as (number, (image, seed) -> image); numbers never shift, so neither do
    seeds.
    """
    size = preprocessing.size
    if len(preprocessing.mean) != 3 and (options.color_jitter or options.pca_lighting or options.rand_augment):
        raise ValueError(
            "`color_jitter`, `pca_lighting` and `rand_augment` need 3 channels. "
            f"Received: a network of {len(preprocessing.mean)} channel(s)"
        )
    steps = {
        2: options.pad_and_crop and geometry.pad_and_crop(options.pad_and_crop, size),
        3: options.random_flip and geometry.random_flip(options.random_flip),
        4: options.affine and geometry.affine(options.affine),
        5: options.color_jitter and color.color_jitter(options.color_jitter),
        6: options.pca_lighting and color.pca_lighting(options.pca_lighting),
        7: options.rand_augment and batch_augmentation.rand_augment(options.rand_augment),
    }
    return [(number, step) for number, step in steps.items() if step]


def to_pixels(image, channels: int):
    """Decodes bytes; gives pixels the channels the network takes (grey repeated to RGB, RGB to luminance)."""
    if image.dtype == tf.string:
        return decode_image(image, channels)
    if image.shape[-1] == channels:
        return image
    return tf.image.grayscale_to_rgb(image) if channels == 3 else tf.image.rgb_to_grayscale(image)


def resize_shorter(image, shorter, method: str, antialias: bool = True, as_pillow: bool = False):
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scaled = tf.round(tf.cast(shorter, tf.float64) * sides / tf.reduce_min(sides))
    height, width = tf.unstack(tf.cast(scaled, tf.int32))
    return resize(image, height, width, method, antialias, as_pillow)


def resize(image, height, width, method: str, antialias: bool, as_pillow: bool = False):
    """Resizes to whole pixel values; an image that has the size already is left alone.

    Bicubic overshoots, and Pillow cuts that off and rounds between its two passes, of which the first goes along the
    width. One pass is twice as fast and up to nine levels away; a network's probabilities can move by 0.02.
    """

    def resized():
        between = image
        if as_pillow and method == "bicubic":
            between = _to_uint8(tf.image.resize(image, [tf.shape(image)[0], width], method, antialias=antialias))
        return _to_uint8(tf.image.resize(between, [height, width], method, antialias=antialias))

    same = tf.logical_and(tf.equal(tf.shape(image)[0], height), tf.equal(tf.shape(image)[1], width))
    return tf.cond(same, lambda: image, resized)


def _to_uint8(image):
    return image if image.dtype == tf.uint8 else tf.saturate_cast(tf.round(image), tf.uint8)
