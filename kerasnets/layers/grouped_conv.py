"""Grouped convolution that stays native on TensorFlow.

`keras.layers.Conv2D(groups=n)` on TensorFlow is sent through XLA, whose CPU code for the gradient is hundreds of times
slower than the native kernel. `benchmarks/grouped_convolution.py` measures the difference.
"""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf

# Narrower blocks use the processor less, wider ones multiply more zeros; measured at 4 to 32 channels a group.
_BLOCK_CHANNELS = 16


@keras.saving.register_keras_serializable("kerasnets")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with the same arguments and variables; on TensorFlow it calls `tf.nn.conv2d`.

    Input (batch, height, width, channels), kernel (height, width, channels / groups, filters). Channels and filters are
    multiples of `groups`.

    Attributes:
        native: whether one grouped `Conv2D` op is used. TensorFlow has its gradient on a GPU and on a CPU with oneDNN,
            which it turns on by itself for AVX-512 only; the layer tries it when it is built. Otherwise the layer runs
            dense convolutions over a few groups each, with the same result. For prediction every machine has the op,
            so an exported network sets `native` to `True`.

    Source: Krizhevsky et al. 2012, section 3.2 (two groups); Xie et al. 2017, figure 3c,
        https://arxiv.org/abs/1611.05431
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.native = _is_complete(self.compute_dtype, self.dilation_rate)

    def call(self, inputs):
        if not self.use_bias or not ON_TENSORFLOW or self.data_format != "channels_last":
            return super().call(inputs)
        # An addition and not a `BiasAdd`: without oneDNN TensorFlow would fuse that with the convolution into an op
        # that it does not have for groups.
        outputs = tf.add(self.convolution_op(inputs, self.kernel), tf.convert_to_tensor(self.bias))
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs, kernel):
        if not ON_TENSORFLOW or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        options = {"padding": self.padding.upper(), "strides": self.strides, "dilations": self.dilation_rate}
        kernel = tf.convert_to_tensor(kernel)
        if self.native:
            return tf.nn.conv2d(inputs, kernel, **options)
        return self._in_blocks(inputs, kernel, options)

    def _in_blocks(self, inputs, kernel, options):
        """Dense convolutions, each over as many groups as make `_BLOCK_CHANNELS` channels."""
        depth, filters = kernel.shape[2], kernel.shape[3] // self.groups
        most = max(1, _BLOCK_CHANNELS // depth)
        together = max(m for m in range(1, self.groups + 1) if self.groups % m == 0 and m <= most)
        # Zero outside of a block's diagonal: no group sees its neighbours.
        diagonal = tf.repeat(tf.repeat(tf.eye(together, dtype=kernel.dtype), depth, axis=0), filters, axis=1)
        blocks = self.groups // together
        parts = zip(tf.split(inputs, blocks, axis=-1), tf.split(kernel, blocks, axis=-1), strict=True)
        dense = [tf.nn.convolution(x, tf.tile(k, (1, 1, together, 1)) * diagonal, **options) for x, k in parts]
        return tf.concat(dense, axis=-1)


def _is_complete(dtype, dilations) -> bool:
    """Tells whether this machine has the gradient of grouped convolution, by running it on a small input."""
    if not ON_TENSORFLOW:
        return False
    image, kernel = (1, 3, 3, 2), (3, 3, 1, 2)
    with tf.init_scope():
        options = {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, *dilations, 1]}
        x, k = tf.ones(image, dtype), tf.ones(kernel, dtype)
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=image, filter=k, out_backprop=x, **options)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel, out_backprop=x, **options)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True
