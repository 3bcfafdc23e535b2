"""Pixels to network input, inside the graph."""

import keras
import numpy as np


@keras.saving.register_keras_serializable("kerasnets")
class PixelNormalization(keras.layers.Layer):
    """`(pixel - mean) / std` on 0-255 RGB (or grey) pixels of any dtype, with the channels reversed first for a BGR
    network.

    Shape in and out: (batch, height, width, len(mean)). `mean` and `std` have one number per channel of the
    *network's* order.
    """

    def __init__(self, mean, std, channel_order="rgb", **kwargs):
        super().__init__(**kwargs)
        self.mean, self.std, self.channel_order = tuple(mean), tuple(std), channel_order

    @classmethod
    def from_numbers(cls, preprocessing, name="normalization"):
        """Makes the layer from a `kerasnets.registry.Preprocessing`."""
        return cls(preprocessing.mean, preprocessing.std, preprocessing.channel_order, name=name)

    def call(self, inputs):
        x = keras.ops.cast(inputs, self.compute_dtype)
        if self.channel_order == "bgr":
            x = keras.ops.flip(x, axis=-1)
        shape = tuple(1 if size is None else size for size in inputs.shape[1:3]) + (len(self.mean),)
        # Constants of the image's full size: broadcasting over a last axis of three costs ten times as much on a CPU.
        scale = np.broadcast_to(1.0 / np.asarray(self.std), shape)
        offset = np.broadcast_to(-np.asarray(self.mean) / np.asarray(self.std), shape)
        return x * keras.ops.cast(scale, self.compute_dtype) + keras.ops.cast(offset, self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std, "channel_order": self.channel_order}
