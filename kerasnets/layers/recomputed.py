"""Convolutions that keep only their inputs in memory while training."""

import math

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf
from kerasnets.layers.batch_norm import BatchNormalization


@keras.saving.register_keras_serializable("kerasnets")
class RecomputedConvolutions(keras.layers.Layer):
    """Concatenation, then batch normalisation, ReLU and convolution once or more; the gradient computes them again.

    Input: a list of maps (batch, height, width, channels); output (batch, height, width, filters of the last). Same
    size, stride 1, no bias. The normalisations and convolutions are layers inside, see `parts`.

    Args:
        filters, kernel_sizes: of each convolution.
        names: (name of the normalisation, name of the convolution) for each.
        initializer: of the convolutions.
        epsilon: of the normalisations.

    Source: Pleiss et al. 2017, section 3, https://arxiv.org/abs/1707.06990
    """

    def __init__(self, filters, kernel_sizes, names, *, initializer="he_normal", epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_sizes, self.epsilon = tuple(filters), tuple(kernel_sizes), epsilon
        self.names = tuple(tuple(pair) for pair in names)
        self.initializer = keras.initializers.get(initializer)
        self.norms, self.convs = [], []
        for width, size, (norm, conv) in zip(self.filters, self.kernel_sizes, self.names, strict=True):
            options = {"use_bias": False, "kernel_initializer": self.initializer, "dtype": self.dtype_policy}
            self.norms.append(BatchNormalization(epsilon=epsilon, momentum=0.9, name=norm, dtype=self.dtype_policy))
            self.convs.append(keras.layers.Conv2D(width, size, padding="same", name=conv, **options))

    @property
    def parts(self):
        """The layers inside, for weights and counts: normalisation, convolution, normalisation ..."""
        return [layer for pair in zip(self.norms, self.convs, strict=True) for layer in pair]

    def build(self, input_shapes):
        shape = (*input_shapes[0][:3], sum(shape[-1] for shape in input_shapes))
        for norm, conv in zip(self.norms, self.convs, strict=True):
            norm.build(shape)
            conv.build(shape)
            shape = (*shape[:3], conv.filters)

    def call(self, inputs, training=False):
        if not (training and self.norms[0].trainable) or not ON_TENSORFLOW:
            x = keras.ops.concatenate(inputs, axis=-1) if len(inputs) > 1 else inputs[0]
            for norm, conv in zip(self.norms, self.convs, strict=True):
                x = conv(keras.ops.relu(norm(x, training=training)))
            return x
        pairs = zip(self.norms, self.convs, strict=True)
        weights = [tf.convert_to_tensor(w) for norm, conv in pairs for w in (norm.gamma, norm.beta, conv.kernel)]
        output, *statistics = tf.recompute_grad(self._compute)(*weights, *inputs)
        count = tf.cast(tf.reduce_prod(tf.shape(output)[:-1]), tf.float32)
        for norm, mean, variance in zip(self.norms, statistics[::2], statistics[1::2], strict=True):
            norm.update_moving_statistics(mean, variance, count)
        return output

    def _compute(self, *tensors):
        """The training pass as a function of tensors, which is run twice; so it does not update moving statistics."""
        steps = 3 * len(self.convs)
        x, statistics = tf.concat(tensors[steps:], axis=-1), []
        for i in range(0, steps, 3):
            gamma, beta, kernel = tensors[i : i + 3]
            zeros = tf.zeros_like(gamma, tf.float32)
            scale, offset = tf.cast(gamma, tf.float32), tf.cast(beta, tf.float32)
            normal, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=zeros, variance=zeros, epsilon=self.epsilon, is_training=True
            )
            x = tf.nn.conv2d(tf.nn.relu(normal), tf.cast(kernel, x.dtype), 1, "SAME")
            statistics += [mean, variance]
        return x, *statistics

    def multiply_adds(self, source, target):
        """Multiply-adds of the convolutions."""
        weights = sum(math.prod(conv.kernel.shape) for conv in self.convs)
        return target[1] * target[2] * weights

    def compute_output_shape(self, input_shapes):
        return (*input_shapes[0][:3], self.filters[-1])

    def get_config(self):
        own = {"filters": self.filters, "kernel_sizes": self.kernel_sizes, "names": self.names, "epsilon": self.epsilon}
        return {**super().get_config(), **own, "initializer": keras.initializers.serialize(self.initializer)}
