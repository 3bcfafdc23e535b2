"""Layers that compute in float32 what an int8 TFLite file computes in integers, and that train through the rounding.

A rounded value has the gradient of the value before it ("straight through"). A value outside the range has gradient 0.
Needs Keras's TensorFlow backend.

Sources: Jacob et al. 2018, sections 2 and 3, https://arxiv.org/abs/1712.05877; Krishnamoorthi 2018, sections 2 and 3,
https://arxiv.org/abs/1806.08342; Bengio et al. 2013 (the gradient), https://arxiv.org/abs/1308.3432
"""

import keras
import numpy as np

from kerasnets.layers.backend import tf
from kerasnets.layers.batch_norm import PRESENT
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.processor_gradients import ProcessorConv2D, ProcessorDepthwiseConv2D

# Kernels are rounded to whole steps from -127 to 127, symmetric, so that a weight of 0 costs no zero point.
KERNEL_STEPS = 127
# TFLite fixes the steps of a sigmoid: 1/256.
SIGMOID_RANGE = (0.0, 255 / 256)


@keras.saving.register_keras_serializable("kerasnets")
class FakeQuantize(keras.layers.Layer):
    """Rounds a tensor to the 256 values that its int8 tensor can have: asymmetric, one range for the whole tensor.

    Shape in and out: (batch, ...). The range is a moving average of the smallest and the largest value of the training
    batches, and always holds 0. On several devices, a batch is the whole batch. Before the first batch, the range is
    that of the input itself.

    Args:
        fixed: a range (low, high) that does not depend on data, or `None`.
        momentum: of the moving average.

    Attributes:
        active: whether values are rounded.
        observing: whether the range follows the training.
        low, high: the range, two scalar weights. A fixed range has no weights.
    """

    # Checkpoints of other frameworks have no such weights.
    training_state = True

    def __init__(self, fixed=None, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        self.fixed, self.momentum, self.active = fixed and tuple(map(float, fixed)), momentum, True
        self.observing = self.fixed is None

    def build(self, input_shape):
        if self.fixed is None:
            options = {"shape": (), "initializer": "zeros", "trainable": False, "dtype": "float32", "autocast": False}
            self.low, self.high = (self.add_weight(name=name, **options) for name in ("low", "high"))

    @property
    def synchronized(self) -> bool:
        """Whether training needs values of other devices."""
        return self.observing and tf.distribute.get_strategy().num_replicas_in_sync > 1

    @property
    def range(self) -> tuple[float, float]:
        """The range that values are rounded in, (0, 0) before the first batch."""
        return self.fixed or tuple(map(float, _off_the_middle(tf.convert_to_tensor(self.low), self.high)))

    def set_range(self, low: float, high: float) -> None:
        """Sets the range; it is widened to hold 0."""
        self.low.assign(min(low, 0.0))
        self.high.assign(max(high, 0.0))

    def call(self, inputs, training=False):
        if training and self.observing:
            self._observe(inputs)
        if not self.active:
            return inputs
        low, high = self.fixed or self._known(inputs)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def _known(self, inputs):
        """Returns the range of the training so far, before its first batch that of the input."""
        low, high = tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high)
        return _off_the_middle(*tf.cond(high > low, lambda: (low, high), lambda: _extremes(inputs)))

    def _observe(self, inputs) -> None:
        low, high, present = _over_replicas(*_extremes(tf.stop_gradient(inputs)))
        new = self.high <= self.low
        for variable, seen in ((self.low, low), (self.high, high)):
            average = variable + (1.0 - self.momentum) * (seen - variable)
            variable.assign(tf.where(present, tf.where(new, seen, average), variable))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "fixed": self.fixed, "momentum": self.momentum}


def _extremes(x):
    """Returns the smallest and the largest value, 0 among them; and not both 0, which would be no range."""
    low, high = tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)
    return low, tf.where(high > low, high, 1e-6)


def _off_the_middle(low, high):
    """Widens a range of pixels from -1 to 1, or another one with 0 in its middle, to 252 steps of 255.

    With 255 steps, each of the 256 values of a pixel lies halfway between two steps, and float32 and integers round it
    to different ones. With 252 steps, only the two values next to 0 lie near such a half. The rounding of a bias in the
    file moves a value by at most half of 1/127 of a pixel, which is too little to reach it.
    """
    below = -255 * low / tf.maximum(high - low, 1e-12)
    middle, step = tf.abs(below - 127.5) < 0.25, (high - low) / 252
    return tf.where(middle, -127 * step, low), tf.where(middle, 128 * step, high)


def _over_replicas(low, high):
    """Returns the extremes over all devices, and whether any has an example. A device without one does not count."""
    present = tf.constant(1.0) if PRESENT.get() is None else PRESENT.get()
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return low, high, present > 0
    mine = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync)[:, None]
    lows, highs, there = tf.unstack(
        context.all_reduce(tf.distribute.ReduceOp.SUM, mine * tf.stack([low, high, present])), axis=1
    )
    low = tf.reduce_min(tf.where(there > 0, lows, lows.dtype.max))
    high = tf.reduce_max(tf.where(there > 0, highs, highs.dtype.min))
    return low, high, tf.reduce_any(there > 0)


def quantized_kernel(kernel, depthwise: bool = False):
    """Rounds a kernel to 255 steps of its own for each output channel, symmetric about 0.

    The rounding of a channel does not change when the channel is multiplied by a number. So rounding before batch
    normalisation is the same as folding it with its long-term statistics and rounding then.

    Args:
        kernel: (..., input channels, output channels).
        depthwise: whether it is (height, width, channels, multiplier) instead.
    """
    kernel = tf.convert_to_tensor(kernel)
    axes = range(len(kernel.shape) - (2 if depthwise else 1))
    largest = tf.reduce_max(tf.abs(kernel), axes, keepdims=True)
    step = tf.stop_gradient(tf.maximum(largest, 1e-12) / KERNEL_STEPS)
    return kernel + tf.stop_gradient(tf.round(kernel / step) * step - kernel)


class WholeBiasConv2D(keras.layers.Conv2D):
    """A convolution for a file. Its kernel has the steps of which its bias is as nearly as possible a whole number.

    The largest weight of an output channel has 64 to 127 steps. With 127, as elsewhere, the bias would be rounded by up
    to half a step. For pixels minus 123.675, which is 14,841 steps of 1/120, nothing is rounded.
    """

    def set_weights(self, weights):
        super().set_weights(weights)
        kernel, bias = (np.asarray(each, np.float64) for each in weights)
        largest = np.abs(kernel).max(axis=(0, 1, 2))
        counts = np.arange(KERNEL_STEPS, KERNEL_STEPS // 2, -1)
        biases = bias * counts[:, np.newaxis] / largest
        best = counts[np.abs(biases - np.rint(biases)).round(3).argmin(axis=0)]
        self.range = (largest / best * KERNEL_STEPS).astype(np.float32)

    def convolution_op(self, inputs, kernel):
        if hasattr(self, "range"):
            round_kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel
            kernel = round_kernel(kernel, -self.range, self.range, narrow_range=True)
        return super().convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable("kerasnets")
class QuantizedConv2D(ProcessorConv2D):
    """`keras.layers.Conv2D` with a rounded kernel, while `active`."""

    active = True

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, quantized_kernel(kernel) if self.active else kernel)


@keras.saving.register_keras_serializable("kerasnets")
class QuantizedGroupedConv2D(GroupedConv2D):
    """`GroupedConv2D` with a rounded kernel, while `active`."""

    active = True

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, quantized_kernel(kernel) if self.active else kernel)


@keras.saving.register_keras_serializable("kerasnets")
class QuantizedDepthwiseConv2D(ProcessorDepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a rounded kernel, while `active`."""

    active = True

    def used_kernel(self):
        return quantized_kernel(self.kernel, depthwise=True) if self.active else self.kernel


@keras.saving.register_keras_serializable("kerasnets")
class QuantizedDense(keras.layers.Dense):
    """`keras.layers.Dense` with a rounded kernel, while `active`."""

    active = True

    def call(self, inputs, training=None):
        outputs = tf.matmul(inputs, quantized_kernel(self.kernel) if self.active else self.kernel)
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("kerasnets")
class QuantizedActivation(keras.layers.Layer):
    """An activation of several operators, with what TFLite rounds between them, while `active`.

    `silu`: the sigmoid has steps of 1/256. `hard_sigmoid`: ReLU6 of x + 3 is rounded, and then divided by 6.
    `hard_silu` is one operator.
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation_name, self.active = activation, True

    def call(self, inputs):
        if self.activation_name == "silu":
            return inputs * self._rounded(tf.sigmoid(inputs), *SIGMOID_RANGE)
        sixfold = tf.nn.relu6(inputs + 3.0)
        if self.activation_name == "hard_silu":
            return inputs * (sixfold * (1 / 6))
        return self._rounded(sixfold, 0.0, 6.0) * (1 / 6)

    def _rounded(self, x, low: float, high: float):
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high) if self.active else x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "activation": self.activation_name}


ROUNDING = (FakeQuantize, QuantizedActivation, QuantizedConv2D, QuantizedGroupedConv2D, QuantizedDepthwiseConv2D)
ROUNDING += (QuantizedDense,)
