"""What happens to one image, in training and in evaluation: whole-number pixels in, uint8 [S, S, C] out.

The order in training; each step that the options leave off is skipped:

1. crop, decoded together with the file: `random_resized_crop`; or `scale_jitter`, the square that a random crop shows
   when the shorter side is resized to a random length; or, with neither, the evaluation transform;
2. `pad_and_crop`   3. `random_flip`   4. `affine`   5. `color_jitter`   6. `pca_lighting`   7. `rand_augment`.

After batching come `random_cutout` and `mixup` / `cutmix` (batch_augmentation.py), then normalisation inside the step.

Evaluation: the shorter side is resized to round(size / crop_fraction), the longer one to the nearest whole number in
proportion, the centre is cut out. Resizing is antialiased, as Pillow's; results are rounded to whole pixel values. A
training crop has a cheaper filter (`_average_and_interpolate`).
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.data.images import color, geometry
from kerasnets.data.images import per_batch as batch_augmentation
from kerasnets.data.images.decode import crop, decode_image, decode_window
from kerasnets.recipe.data_options import AugmentationOptions
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
    stages = training_stages(preprocessing, options)
    size, channels = preprocessing.size, len(preprocessing.mean)

    @tf.function(autograph=False)
    def transform(image, seed):
        for _, number, stage in stages:
            image = stage(image, fold_in(seed, number))
        return tf.ensure_shape(image, [size, size, channels])

    return transform


def training_stages(preprocessing: Preprocessing, options: AugmentationOptions) -> list[tuple[str, int, Callable]]:
    """Returns what `training_transform` does, one after the other, as (name, number, (image, seed) -> uint8 image).

    A stage draws from the image's seed folded with its number; numbers never shift, so neither do seeds.
    """
    decode, resize_crop = _placement(preprocessing, options)
    return [("decode", 0, decode), ("resize", 1, resize_crop), *_steps(preprocessing, options)]


def fold_in(seed, number):
    """Returns a new seed that depends on `seed` (integer [2]) and on `number`."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def _placement(preprocessing, options) -> tuple[Callable, Callable]:
    """Step 1 in two halves: (image, seed) -> its pixels, or those of the crop; (pixels, seed) -> uint8 [S, S, C]."""
    size, channels, method = preprocessing.size, len(preprocessing.mean), preprocessing.interpolation
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
            return _average_and_interpolate(pixels, size)
        return resize(pixels, size, size, method, options.antialias)

    return decode, resize_crop


def _window(options, size: int) -> Callable | None:
    """Returns (height, width, seed) -> the random window of a training image, or None when there is none."""
    if box := options.random_resized_crop:
        return lambda height, width, seed: geometry.random_resized_window(height, width, box.scale, box.ratio, seed)
    if not (jitter := options.scale_jitter):
        return None
    if jitter[0] < size:
        raise ValueError(f"`scale_jitter` must not be below the input size {size}. Received: {jitter}")
    return lambda height, width, seed: geometry.scale_jitter_window(height, width, jitter, size, seed)


def _steps(preprocessing, options) -> list:
    """Steps 2 to 7 that are switched on, as (name, number, (image, seed) -> image)."""
    size, mean = preprocessing.size, preprocessing.mean[:: -1 if preprocessing.channel_order == "bgr" else 1]
    if len(preprocessing.mean) != 3 and (options.color_jitter or options.pca_lighting or options.rand_augment):
        raise ValueError(
            "`color_jitter`, `pca_lighting` and `rand_augment` need 3 channels. "
            f"Received: a network of {len(preprocessing.mean)} channel(s)"
        )
    steps = {
        "pad_and_crop": options.pad_and_crop and geometry.pad_and_crop(options.pad_and_crop, size, mean),
        "random_flip": options.random_flip and geometry.random_flip(options.random_flip),
        "affine": options.affine and geometry.affine(options.affine),
        "color_jitter": options.color_jitter and color.color_jitter(options.color_jitter),
        "pca_lighting": options.pca_lighting and color.pca_lighting(options.pca_lighting),
        "rand_augment": options.rand_augment and batch_augmentation.rand_augment(options.rand_augment),
    }
    return [(name, number, step) for number, (name, step) in enumerate(steps.items(), 2) if step]


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
            between = _to_uint8(
                tf.image.resize(image, [tf.shape(image)[0], width], method, antialias=antialias), method
            )
        return _to_uint8(tf.image.resize(between, [height, width], method, antialias=antialias), method)

    same = tf.logical_and(tf.equal(tf.shape(image)[0], height), tf.equal(tf.shape(image)[1], width))
    return tf.cond(same, lambda: image, resized)


def _average_and_interpolate(image, size: int):
    """Resizes a training crop to uint8 [size, size, C]: shrunk by averaging what a new pixel covers, then enlarged.

    Pillow's filter is wider; in TensorFlow it takes longer than decoding the crop.
    """
    shape = tf.shape(image)[:2]
    smaller = tf.minimum(shape, size)
    shrinks, enlarges = tf.reduce_any(shape > size), tf.reduce_any(shape < size)
    pixels = tf.cond(shrinks, lambda: tf.image.resize(image, smaller, "area"), lambda: tf.cast(image, tf.float32))
    pixels = tf.cond(enlarges, lambda: tf.image.resize(pixels, [size, size]), lambda: pixels)
    return tf.ensure_shape(_to_uint8(pixels, "bilinear"), [size, size, image.shape[-1]])


def _to_uint8(image, method: str):
    """Rounds, halves up as Pillow does; only filters with negative weights overshoot, and clipping costs as much as
    resizing.
    """
    if image.dtype == tf.uint8:
        return image
    if method in ("bicubic", "lanczos3"):
        image = tf.clip_by_value(image, 0.0, 255.0)
    return tf.cast(image + 0.5, tf.uint8)
