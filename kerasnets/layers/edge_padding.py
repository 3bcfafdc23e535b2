"""Padding that never changes a maximum."""

import keras


@keras.saving.register_keras_serializable("kerasnets")
class EdgePadding2D(keras.layers.Layer):
    """Repeats the border pixels, `padding` on each side: (batch, height, width, channels) -> (batch, *, *, channels).

    Max pooling behind it gives the same as padding with minus infinity (PyTorch's and Caffe's max pooling), because a
    window that reaches over the border contains the border pixels themselves. Other than infinity, these can be
    quantised.
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
