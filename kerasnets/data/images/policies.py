"""AutoAugment, RandAugment and TrivialAugment of one image: which operations (operations.py), and how strong.

A policy draws operations, levels (0 to 1) and signs from the seed of the image. `Choice` turns a level and a sign into
the argument of an operation.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from kerasnets.data.images import operations as op
from kerasnets.data.images.auto_augment import PAIRS
from kerasnets.recipe.data_options import RandAugment


class Choice(NamedTuple):
    """An operation, and its arguments from level 0 to level 1.

    Attributes:
        operation: (image, argument) -> image.
        low, high: the argument at level 0 and at level 1.
        signed: whether the sign is drawn as well.
        whole: makes the argument a whole number: `tf.round`, `tf.floor`, `tf.math.ceil`, or `_cut` (towards 0).
        side: 0 or 1 if the argument is a share of the height or the width of the image.
    """

    operation: Callable
    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    whole: Callable | None = None
    side: int | None = None

    def argument(self, level, sign, shape):
        """Returns the float64 argument for `level`, `sign` (1 or -1, both float64) and the shape of the image."""
        value = self.low + level * (self.high - self.low)
        if self.side is not None:
            value *= tf.cast(shape[self.side], tf.float64)
        value = self.whole(value) if self.whole else value
        return value * sign if self.signed else value


def _cut(value):
    # Ten levels of 150/331 can lie a rounding error below a whole number.
    return tf.floor(value + 1e-6)


def _wide(turn, slope, shift, change, bits) -> dict[str, Choice]:
    """Returns the operations of torchvision's policies, with their arguments at level 1."""
    return {
        "Identity": Choice(op.identity),
        "ShearX": Choice(op.shear_x, 0.0, slope, True),
        "ShearY": Choice(op.shear_y, 0.0, slope, True),
        "TranslateX": Choice(op.translate_x, 0.0, shift, True, _cut, None if shift > 1 else 1),
        "TranslateY": Choice(op.translate_y, 0.0, shift, True, _cut, None if shift > 1 else 0),
        "Rotate": Choice(op.rotate, 0.0, turn, True),
        "Brightness": Choice(op.brightness, 0.0, change, True),
        "Color": Choice(op.color, 0.0, change, True),
        "Contrast": Choice(op.contrast, 0.0, change, True),
        "Sharpness": Choice(op.sharpness, 0.0, change, True),
        "Posterize": Choice(op.posterize, 8.0, 8.0 - bits, False, tf.round),
        "Solarize": Choice(op.solarize, 255.0, 0.0),
        "AutoContrast": Choice(op.auto_contrast),
        "Equalize": Choice(op.equalize),
    }


# TrivialAugment (Mueller and Hutter 2021), table 7, "wide"; the levels are k/30.
TRIVIAL = _wide(turn=135.0, slope=0.99, shift=32.0, change=0.99, bits=6)
# RandAugment (Cubuk et al. 2019) and AutoAugment (Cubuk et al. 2018) of torchvision.
TORCHVISION = _wide(turn=30.0, slope=0.3, shift=150 / 331, change=0.9, bits=4)
# RandAugment of timm, `rand-...-inc1`: all operations are stronger at higher levels.
TIMM = {
    "AutoContrast": Choice(op.auto_contrast),
    "Equalize": Choice(op.equalize),
    "Invert": Choice(op.invert),
    "Rotate": Choice(op.rotate, 0.0, 30.0, True),
    "Posterize": Choice(op.posterize, 4.0, 0.0, False, tf.math.ceil),
    "Solarize": Choice(op.solarize, 256.0, 0.0, False, tf.math.ceil),
    "SolarizeAdd": Choice(op.solarize_add, 0.0, 110.0, False, tf.floor),
    "Color": Choice(op.color, 0.0, 0.9, True),
    "Contrast": Choice(op.contrast, 0.0, 0.9, True),
    "Brightness": Choice(op.brightness, 0.0, 0.9, True),
    "Sharpness": Choice(op.sharpness, 0.0, 0.9, True),
    "ShearX": Choice(op.shear_x, 0.0, 0.3, True),
    "ShearY": Choice(op.shear_y, 0.0, 0.3, True),
    "TranslateX": Choice(op.translate_x, 0.0, 0.45, True, None, 1),
    "TranslateY": Choice(op.translate_y, 0.0, 0.45, True, None, 0),
}


def trivial_augment() -> Callable:
    """Returns (image, seed) -> image after one operation of TrivialAugment, at a uniform level."""
    apply = one_of(TRIVIAL)

    def augment(image, seed):
        which, level, sign = tf.unstack(tf.random.stateless_uniform([3], seed, dtype=tf.float64))
        return apply(image, _number(which, len(TRIVIAL)), tf.floor(level * 31.0) / 30.0, _sign(sign))

    return augment


def rand_augment(options: RandAugment, mean=()) -> Callable:
    """Returns (image uint8 [S, S, 3], seed integer [2]) -> the image after `options.count` operations.

    Args:
        mean: the colour of new pixels in the policy `timm`, 0-255; black otherwise.
    """
    choices = {"timm": TIMM, "torchvision": TORCHVISION}[options.policy]
    if not options.geometric:
        choices = {name: choice for name, choice in choices.items() if choice.operation not in op.GEOMETRIC}
    apply = one_of(choices, tf.round(tf.constant(mean, tf.float32)) if options.policy == "timm" else 0.0)

    def augment(image, seed):
        for number in range(options.count):
            draw = tf.random.experimental.stateless_fold_in(seed, number)
            which, sign, applied = tf.unstack(tf.random.stateless_uniform([3], draw, dtype=tf.float64))
            level = tf.random.stateless_normal([], tf.random.experimental.stateless_fold_in(draw, 1), dtype=tf.float64)
            level = tf.clip_by_value(options.magnitude + options.magnitude_stddev * level, 0.0, 1.0)
            which = tf.where(applied < options.rate, _number(which, len(choices)), len(choices))
            image = apply(image, which, level, _sign(sign))
        return image

    return augment


def auto_augment(name: str) -> Callable:
    """Returns (image, seed) -> image after one of the 25 pairs of operations of a learned policy.

    Args:
        name: the data set that it was learned on, a key of `PAIRS`.
    """
    apply, names = one_of(TORCHVISION | {"Invert": Choice(op.invert)}), [*TORCHVISION, "Invert"]
    rows = [[(names.index(o), share, level / 9.0) for o, share, level in pair] for pair in PAIRS[name]]

    def augment(image, seed):
        draws = tf.random.stateless_uniform([5], seed, dtype=tf.float64)
        pair = tf.gather(tf.constant(rows, tf.float64), _number(draws[0], len(rows)))
        for number in range(2):
            which, share, level = tf.unstack(pair[number])
            which = tf.where(draws[1 + number] <= share, tf.cast(which, tf.int32), len(names))
            image = apply(image, which, level, _sign(draws[3 + number]))
        return image

    return augment


def one_of(choices: dict[str, Choice], fill=0.0) -> Callable:
    """Returns (image, number, level, sign) -> image after the operation of that number; a larger number does nothing.

    Args:
        fill: the colour of new pixels.
    """

    def apply(image, number, level, sign):
        def branch(choice: Choice):
            move = choice.operation
            move = functools.partial(move, fill=fill) if move in op.GEOMETRIC else move
            return lambda: move(image, choice.argument(level, sign, tf.shape(image)))

        branches = [branch(choice) for choice in choices.values()]
        return tf.ensure_shape(tf.switch_case(number, [*branches, lambda: image]), image.shape)

    return apply


def _number(draw, count: int):
    """Returns a whole number below `count` for a uniform draw from 0 to 1."""
    return tf.minimum(tf.cast(draw * count, tf.int32), count - 1)


def _sign(draw):
    return tf.where(draw < 0.5, tf.constant(-1.0, tf.float64), 1.0)
