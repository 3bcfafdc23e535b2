"""Normalisation by a row's numbers: pixels (0-255) become network input.

Training and evaluation call it inside the step, export puts it into the graph, prediction calls it on decoded images.
Pixels travel as uint8 until here, a quarter of the bytes of float32.
"""

import dataclasses

from kerasnets.layers.preprocessing import normalize_pixels
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
    channels = len(preprocessing.mean)
    if images.shape[-1] not in (None, channels):
        raise ValueError(f"`images` must have {channels} channels. Received: images with shape {tuple(images.shape)}")
    numbers = (preprocessing.mean, preprocessing.std, preprocessing.channel_order)
    return normalize_pixels(images, *numbers, full_constants=full_constants)


def override(preprocessing: Preprocessing, options) -> Preprocessing:
    """Returns `preprocessing` with the `size`, `crop_fraction` and `interpolation` that `options` (DataOptions) set."""
    names = ("size", "crop_fraction", "interpolation")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return dataclasses.replace(preprocessing, **given)
