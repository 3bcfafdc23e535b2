"""The one implementation of normalisation, as a function and as a layer: pixels (0-255) become network input."""

import keras
import numpy as np
from keras import ops


def normalize_pixels(images, mean, std, channel_order="rgb", *, full_constants=True):
    """Returns `(images - mean) / std` as float32, channels in the order the network expects.

    Args:
        images: RGB or grey pixels 0-255 of any dtype, [..., height, width, channels]; never changed in place.
        mean, std: one number per channel of the *network's* order.
        channel_order: `"bgr"` reverses the channels first.
        full_constants: spread mean and std over the image where its size is known: adding over a last axis of three is
            an order of magnitude slower on a CPU. An exported file would grow by the constants' size.
    """
    x = ops.cast(images, "float32")
    if channel_order == "bgr":
        x = ops.flip(x, axis=-1)
    shape = tuple(x.shape[-3:]) if full_constants and None not in x.shape[-3:] else (len(mean),)
    std = np.asarray(std, np.float64)
    scale = np.broadcast_to((1.0 / std).astype(np.float32), shape)
    offset = np.broadcast_to((-np.asarray(mean, np.float64) / std).astype(np.float32), shape)
    return x * ops.convert_to_tensor(scale) + ops.convert_to_tensor(offset)


@keras.saving.register_keras_serializable("kerasnets")
class PixelNormalization(keras.layers.Layer):
    """`normalize_pixels` inside a model's graph; shape in and out (batch, height, width, len(mean))."""

    def __init__(self, mean, std, channel_order="rgb", **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mean, self.std, self.channel_order = tuple(mean), tuple(std), channel_order

    @classmethod
    def from_numbers(cls, preprocessing, name="normalization"):
        """Makes the layer from a `kerasnets.registry.Preprocessing`."""
        return cls(preprocessing.mean, preprocessing.std, preprocessing.channel_order, name=name)

    def set_numbers(self, preprocessing):
        """Sets the constants of weights that were loaded later."""
        self.mean, self.std = tuple(preprocessing.mean), tuple(preprocessing.std)
        self.channel_order = preprocessing.channel_order

    def call(self, inputs):
        x = normalize_pixels(inputs, self.mean, self.std, self.channel_order, full_constants=False)
        return ops.cast(x, self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std, "channel_order": self.channel_order}
