"""Quicker gradients of convolutions on a processor, with the same results up to rounding.

TensorFlow computes on a processor with oneDNN, which has no quick kernel for some gradients:

* of a 1x1 convolution's kernel: a matrix product is up to three times as quick in bfloat16;
* of a 3x3 kernel on a map of 8x8 or less: matrix products over the shifted map are up to twice as quick;
* of a depthwise kernel wider than three: computed three columns at a time, it is two to twenty times as quick;
* in bfloat16, of the input of a depthwise convolution with a stride: a convolution without a stride over the gradient,
  with zeros between its pixels, is ten times as quick.

`benchmarks/training_kernels.py` measures them.
"""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf
from kerasnets.layers.one_pass import is_worth_it, relu6

# The largest map on which the gradient of a 3x3 kernel is computed by matrix products.
_SMALL_MAP = 8
# The widest depthwise kernel whose gradient oneDNN computes quickly.
_QUICK_COLUMNS = 3


def use_processor_gradients(network: keras.Model) -> None:
    """Makes the convolutions of a network compute their gradients as said above. On a GPU it changes nothing.

    The layers keep their variables and their configuration, and a prediction does not change.
    """
    if not ON_TENSORFLOW or tf.config.list_logical_devices("GPU"):
        return
    for layer in network.layers:
        for part in getattr(layer, "parts", (layer,)):
            part.__class__ = _CLASSES.get(type(part), type(part))


@keras.saving.register_keras_serializable("kerasnets")
class ProcessorConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with quicker gradients on a processor."""

    def convolution_op(self, inputs, kernel):
        gradient = None
        if self.data_format == "channels_last" and self.groups == 1 and self.dilation_rate == (1, 1):
            gradient = _kernel_gradient(self.kernel_size, self.strides, self.compute_output_shape(inputs.shape))
        if gradient is None:
            return super().convolution_op(inputs, kernel)
        return _convolve(inputs, tf.convert_to_tensor(kernel), self.strides, self.padding.upper(), gradient)


@keras.saving.register_keras_serializable("kerasnets")
class ProcessorDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with quicker gradients on a processor."""

    def used_kernel(self):
        """Returns the kernel that the layer convolves with."""
        return self.kernel

    def call(self, inputs):
        kernel = tf.convert_to_tensor(self.used_kernel())
        plain = self.data_format == "channels_last" and self.dilation_rate == (1, 1)
        if plain and _is_slow(inputs, kernel, self.strides):
            outputs = _convolve_channels(inputs, kernel, self.strides, self.padding.upper())
        else:
            options = {"padding": self.padding, "dilation_rate": self.dilation_rate, "data_format": self.data_format}
            outputs = keras.ops.depthwise_conv(inputs, kernel, self.strides, **options)
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("kerasnets")
class ProcessorActivation(keras.layers.Activation):
    """`keras.layers.Activation` whose ReLU6 is quicker in bfloat16."""

    def call(self, inputs):
        if self.activation is keras.activations.relu6 and inputs.dtype == tf.bfloat16 and is_worth_it(inputs):
            return relu6(inputs)
        return super().call(inputs)


_CLASSES = {
    keras.layers.Activation: ProcessorActivation,
    keras.layers.Conv2D: ProcessorConv2D,
    keras.layers.DepthwiseConv2D: ProcessorDepthwiseConv2D,
}


def _kernel_gradient(size, strides, output_shape):
    """Returns the function of (input, upstream, padding) that computes a kernel's gradient; `None` is oneDNN's own."""
    if size == (1, 1) and strides == (1, 1):
        return _product
    rows, columns = output_shape[1:3]
    if size == (3, 3) and rows and columns and max(rows, columns) <= _SMALL_MAP:
        return {(1, 1): _shifted_products, (2, 2): _product_of_patches}.get(strides)
    return None


def _convolve(x, kernel, strides, padding, kernel_gradient):
    options = {"strides": [1, *strides, 1], "padding": padding}

    @tf.custom_gradient
    def convolved(x, kernel):
        def gradient(upstream):
            shape = tf.shape(x)
            to_x = tf.raw_ops.Conv2DBackpropInput(input_sizes=shape, filter=kernel, out_backprop=upstream, **options)
            return to_x, tf.reshape(kernel_gradient(x, upstream, padding), kernel.shape)

        return tf.nn.conv2d(x, kernel, **options), gradient

    return convolved(x, kernel)


def _rows(x):
    """(batch, height, width, channels) -> (pixels, channels)."""
    return tf.reshape(x, (-1, x.shape[-1]))


def _product(x, upstream, padding):
    return tf.matmul(_rows(x), _rows(upstream), transpose_a=True)


def _shifted_products(x, upstream, padding):
    """One matrix product for each pixel of a 3x3 kernel with stride 1."""
    height, width = upstream.shape[1:3]
    if padding == "SAME":
        x = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return tf.stack([_product(each, upstream, padding) for each in shifted])


def _product_of_patches(x, upstream, padding):
    """One matrix product for all pixels of a 3x3 kernel with stride 2."""
    window = {"ksizes": (1, 3, 3, 1), "strides": (1, 2, 2, 1), "rates": (1, 1, 1, 1)}
    return _product(tf.raw_ops.ExtractImagePatches(images=x, padding=padding, **window), upstream, padding)


def _is_slow(x, kernel, strides) -> bool:
    """Tells whether oneDNN is slow in one of the gradients of a depthwise convolution."""
    if None in x.shape[1:3] or kernel.shape[3] > 1:
        return False
    return kernel.shape[1] > _QUICK_COLUMNS or _strided_bfloat16(x, kernel, strides)


def _strided_bfloat16(x, kernel, strides) -> bool:
    return x.dtype == tf.bfloat16 and tuple(strides) == (2, 2) and min(kernel.shape[:2]) >= 3


def _convolve_channels(x, kernel, strides, padding):
    """Depthwise convolution; its gradients with respect to the input and the kernel."""
    options = {"strides": [1, *strides, 1], "padding": padding}
    zeros = [_zeros(*each, padding) for each in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True)]

    @tf.custom_gradient
    def convolved(x, kernel):
        def gradient(upstream):
            if _strided_bfloat16(x, kernel, strides):
                to_x = _unstrided(kernel, upstream, x.shape, zeros)
            else:
                to_x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, **options
                )
            if kernel.shape[1] > _QUICK_COLUMNS:
                return to_x, _column_strips(x, upstream, kernel.shape, strides, zeros)
            return to_x, tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=upstream, **options
            )

        return tf.nn.depthwise_conv2d(x, kernel, **options), gradient

    return convolved(x, kernel)


def _zeros(length, size, stride, padding) -> tuple[int, int]:
    """Zeros before and behind `length` pixels."""
    total = max((-(-length // stride) - 1) * stride + size - length, 0) if padding == "SAME" else 0
    return total // 2, total - total // 2


def _unstrided(kernel, upstream, shape, zeros):
    """The gradient with respect to the input of a depthwise convolution with stride 2."""
    rows, columns, channels = upstream.shape[1:]
    apart = tf.reshape(upstream, (-1, rows, 1, columns, 1, channels))
    apart = tf.pad(apart, ((0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0)))
    apart = tf.reshape(apart, (-1, 2 * rows, 2 * columns, channels))
    turned = kernel[::-1, ::-1]
    sides = [
        (size - 1 - before, length + before - 2 * count)
        for size, (before, _), length, count in zip(kernel.shape, zeros, shape[1:3], (rows, columns), strict=False)
    ]
    return tf.nn.depthwise_conv2d(apart, turned, (1, 1, 1, 1), ((0, 0), *sides, (0, 0)))


def _column_strips(x, upstream, shape, strides, zeros):
    """The gradient with respect to a depthwise kernel of shape `shape`, a few of its columns at a time."""
    options = {"strides": (1, *strides, 1), "padding": "VALID"}
    if any(map(any, zeros)):
        x = tf.pad(x, ((0, 0), *zeros, (0, 0)))
    strips, reach = [], (upstream.shape[2] - 1) * strides[1]
    for first in range(0, shape[1], _QUICK_COLUMNS):
        columns = min(_QUICK_COLUMNS, shape[1] - first)
        strip = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=x[:, :, first : first + reach + columns],
            filter_sizes=(shape[0], columns, *shape[2:]),
            out_backprop=upstream,
            **options,
        )
        strips.append(strip)
    return tf.concat(strips, axis=1)
