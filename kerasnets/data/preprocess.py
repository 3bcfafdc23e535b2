"""The one implementation of normalisation: pixels (0-255) become network input.

Training and evaluation call it inside the step, export puts it into the graph, prediction calls it on decoded images.
Pixels travel as uint8 until here, a quarter of the bytes of float32.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from kerasnets.registry import Preprocessing


def normalise(images, preprocessing: Preprocessing, *, full_constants: bool = True):
    """Returns `(images - mean) / std` as float32, channels in the order the network expects.

    Args:
        images: RGB or grey pixels 0-255, any dtype, tensor or array of shape [..., S, S, C]; never changed in place.
        preprocessing: the row's numbers; `mean` and `std` are in the network's channel order.
        full_constants: spread mean and std to [S, S, C] where the size is known. Adding over a last axis of 3 is an
            order of magnitude slower on the CPU; an exported file would grow by the constants' size, so export passes
            False.

    Raises:
        ValueError: when `images` have another number of channels than `preprocessing.mean`.
    """
    images = tf.cast(images, tf.float32)
    channels = len(preprocessing.mean)
    if images.shape[-1] not in (None, channels):
        raise ValueError(f"`images` must have {channels} channels. Received: images with shape {tuple(images.shape)}")
    if preprocessing.channel_order == "bgr":
        images = tf.reverse(images, axis=[-1])
    std = np.asarray(preprocessing.std, "float64")
    scale = tf.constant((1.0 / std).astype("float32"))
    offset = tf.constant((-np.asarray(preprocessing.mean, "float64") / std).astype("float32"))
    shape = images.shape[-3:]
    if full_constants and shape.is_fully_defined():
        scale, offset = tf.broadcast_to(scale, shape), tf.broadcast_to(offset, shape)
    return images * scale + offset


def override(preprocessing: Preprocessing, options) -> Preprocessing:
    """Returns `preprocessing` with the `size`, `crop_fraction` and `interpolation` that `options` (DataOptions) set."""
    names = ("size", "crop_fraction", "interpolation")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return dataclasses.replace(preprocessing, **given)
