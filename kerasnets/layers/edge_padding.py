"""Padding that a maximum cannot see."""

import keras


@keras.saving.register_keras_serializable("kerasnets")
class EdgePadding2D(keras.layers.Layer):
    """Repeats the border pixels: (batch, height, width, channels) -> (batch, height + 2 padding, width + 2 padding,
    channels).

    Max pooling behind it gives what padding with minus infinity gives (PyTorch's and Caffe's max pooling), because a
    window that reaches over the border holds the border pixels themselves; unlike an infinity, it survives
    quantisation.
    """

    def __init__(self, padding=1, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs):
        sides = (self.padding, self.padding)
        return keras.ops.pad(inputs, ((0, 0), sides, sides, (0, 0)), mode="symmetric")

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        return (batch, *(None if size is None else size + 2 * self.padding for size in sizes), channels)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}
