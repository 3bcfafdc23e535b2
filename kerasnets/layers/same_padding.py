"""TensorFlow's "same" padding as a layer of its own, so that the next layer counts the zeros."""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf


@keras.saving.register_keras_serializable("kerasnets")
class SameZeroPadding2D(keras.layers.Layer):
    """Pads for a window of `size` and `stride`, below and on the right first.

    (batch, height, width, channels) -> (batch, height', width', channels), such that "valid" pooling behind it gives
    ceil(height / stride) rows. At the border average pooling then divides by the whole window, and max pooling gives at
    least 0, as in some public implementations. Height and width may be unknown.

    Args:
        size, stride: of the window, the same for height and width.
    """

    def __init__(self, size, stride, **kwargs):
        super().__init__(**kwargs)
        if min(size, stride) < 1:
            raise ValueError(f"`size` and `stride` should be 1 or more. Received: size={size!r}, stride={stride!r}")
        self.size, self.stride = size, stride

    def _zeros(self, length):
        """Zeros before and behind `length` pixels."""
        total = (-(-length // self.stride) - 1) * self.stride + self.size - length
        total = max(total, 0) if isinstance(total, int) else tf.maximum(total, 0)
        return total // 2, total - total // 2

    def call(self, inputs):
        dynamic = keras.ops.shape(inputs)
        rows, columns = (self._zeros(length) for length in dynamic[1:3])
        pad = tf.pad if ON_TENSORFLOW else keras.ops.pad  # Keras's own takes no lengths that are known only later
        return pad(inputs, [(0, 0), rows, columns, (0, 0)])

    def compute_output_shape(self, input_shape):
        batch, *lengths, channels = input_shape
        return (batch, *(None if n is None else n + sum(self._zeros(n)) for n in lengths), channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "stride": self.stride}
