"""Grouped convolution that stays native on TensorFlow.

`keras.layers.Conv2D(groups=n)` on TensorFlow is sent through XLA, whose CPU code for the gradient is hundreds of times slower than
the native kernel. `benchmarks/grouped_convolution.py` measures the difference.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("kerasnets")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with the same arguments and variables; on TensorFlow it calls `tf.nn.conv2d`.

    Input (batch, height, width, channels), kernel (height, width, channels / groups, filters). Channels and filters must be
    multiples of `groups`.

    Source: Krizhevsky et al. 2012, section 3.2 (two groups); Xie et al. 2017, figure 3c, https://arxiv.org/abs/1611.05431
    """

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        return tf.nn.conv2d(
            inputs,
            tf.convert_to_tensor(kernel),
            strides=list(self.strides),
            padding=self.padding.upper(),
            dilations=list(self.dilation_rate),
        )
