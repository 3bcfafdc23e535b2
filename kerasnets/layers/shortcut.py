"""The parameter-free shortcut of residual networks."""

import keras


@keras.saving.register_keras_serializable("kerasnets")
class PaddedIdentity(keras.layers.Layer):
    """Option A of He et al. 2015, section 3.3: every `stride`-th pixel, and zero channels up to `filters`.

    (batch, height, width, channels) -> (batch, ceil(height / stride), ceil(width / stride), filters). The paper does
    not say where the zeros go: `zeros="both"` puts half of them before and half behind the channels, `"after"` puts all
    of them behind.
    """

    def __init__(self, filters, stride=1, zeros="both", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.stride, self.zeros = filters, stride, zeros

    def call(self, inputs):
        missing = self.filters - inputs.shape[-1]
        before = missing // 2 if self.zeros == "both" else 0
        x = inputs[:, :: self.stride, :: self.stride, :]
        return keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (before, missing - before)))

    def compute_output_shape(self, input_shape):
        sizes = [None if size is None else -(-size // self.stride) for size in input_shape[1:3]]
        return (input_shape[0], *sizes, self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "stride": self.stride, "zeros": self.zeros}
