"""A convolution that keeps only its inputs in memory while training."""

import keras
import tensorflow as tf

from kerasnets.layers.batch_norm import BatchNormalization


@keras.saving.register_keras_serializable("kerasnets")
class RecomputedConv2D(keras.layers.Layer):
    """Concatenation, batch normalisation, ReLU and convolution in one; the gradient computes the first three again.

    Input: a list of maps (batch, height, width, channels); output (batch, height, width, filters). Same size, stride
    1, no bias. Normalisation and convolution are layers of their own inside, called `norm_name` and `conv_name`.

    Source: Pleiss et al. 2017, section 3, https://arxiv.org/abs/1707.06990
    """

    def __init__(self, filters, kernel_size, *, norm_name, conv_name, initializer="he_normal", epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.epsilon = filters, kernel_size, epsilon
        self.norm_name, self.conv_name = norm_name, conv_name
        self.initializer = keras.initializers.get(initializer)
        self.norm = BatchNormalization(epsilon=epsilon, momentum=0.9, name=norm_name, dtype=self.dtype_policy)
        self.conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer=self.initializer,
            name=conv_name,
            dtype=self.dtype_policy,
        )

    @property
    def parts(self):
        """The two layers inside, for weights and counts: (normalisation, convolution)."""
        return self.norm, self.conv

    def build(self, input_shapes):
        shape = (*input_shapes[0][:3], sum(shape[-1] for shape in input_shapes))
        self.norm.build(shape)
        self.conv.build(shape)

    def call(self, inputs, training=False):
        if not (training and self.norm.trainable) or keras.backend.backend() != "tensorflow":
            x = keras.ops.concatenate(inputs, axis=-1) if len(inputs) > 1 else inputs[0]
            return self.conv(keras.ops.relu(self.norm(x, training=training)))
        weights = [tf.convert_to_tensor(w) for w in (self.norm.gamma, self.norm.beta, self.conv.kernel)]
        output, mean, variance = tf.recompute_grad(self._compute)(*weights, *inputs)
        sizes = tf.shape(output)[:-1]
        self.norm.update_moving_statistics(mean, variance, tf.cast(tf.reduce_prod(sizes), tf.float32))
        return output

    def _compute(self, gamma, beta, kernel, *inputs):
        """The training pass as a function of tensors alone, so that it can be run twice; moving statistics stay
        outside."""
        x = tf.concat(inputs, axis=-1)
        normal, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=tf.cast(gamma, tf.float32),
            offset=tf.cast(beta, tf.float32),
            mean=tf.zeros_like(gamma, tf.float32),
            variance=tf.zeros_like(gamma, tf.float32),
            epsilon=self.epsilon,
            is_training=True,
        )
        return tf.nn.conv2d(tf.nn.relu(normal), tf.cast(kernel, x.dtype), 1, "SAME"), mean, variance

    def multiply_adds(self, source, target):
        """Multiply-adds of the convolution."""
        height, width, channels, filters = self.conv.kernel.shape
        return target[1] * target[2] * height * width * channels * filters

    def compute_output_shape(self, input_shapes):
        return (*input_shapes[0][:3], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "norm_name": self.norm_name,
            "conv_name": self.conv_name,
            "initializer": keras.initializers.serialize(self.initializer),
            "epsilon": self.epsilon,
        }
