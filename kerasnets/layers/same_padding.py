"""TensorFlow's "same" padding: as a layer of its own, and as average pooling that leaves the padding out everywhere."""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf


def zeros_around(length, size, stride):
    """Returns the zeros before and behind `length` pixels, for a window of `size` and `stride`."""
    total = (-(-length // stride) - 1) * stride + size - length
    total = max(total, 0) if isinstance(total, int) else tf.maximum(total, 0)
    return total // 2, total - total // 2


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

    def call(self, inputs):
        dynamic = keras.ops.shape(inputs)
        rows, columns = (zeros_around(length, self.size, self.stride) for length in dynamic[1:3])
        pad = tf.pad if ON_TENSORFLOW else keras.ops.pad  # Keras's own takes no lengths that are known only later
        return pad(inputs, [(0, 0), rows, columns, (0, 0)])

    def compute_output_shape(self, input_shape):
        batch, *lengths, channels = input_shape
        padded = (None if n is None else n + sum(zeros_around(n, self.size, self.stride)) for n in lengths)
        return (batch, *padded, channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "stride": self.stride}


@keras.saving.register_keras_serializable("kerasnets")
class AveragePooling2D(keras.layers.AveragePooling2D):
    """Keras's layer, whose "same" padding does not count in the means under any backend.

    (batch, height, width, channels) -> (batch, height', width', channels). Under PyTorch, Keras 3.15 repeats the last
    row or column and counts it, for instance where an even side has a stride of 2. A test in
    tests/layers/test_backends.py fails when Keras changes this.
    """

    def call(self, inputs):
        if self.padding == "valid" or keras.backend.backend() != "torch":
            return super().call(inputs)
        _, height, width, _ = inputs.shape
        inside = keras.ops.ones((1, height, width, 1), inputs.dtype)
        total, share = (self._means_with_zeros(x) for x in (inputs, inside))
        return total / share

    def _means_with_zeros(self, x):
        sides = (0, 0), *map(zeros_around, x.shape[1:3], self.pool_size, self.strides), (0, 0)
        return keras.ops.average_pool(keras.ops.pad(x, sides), self.pool_size, self.strides, "valid", self.data_format)
