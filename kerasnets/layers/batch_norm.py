"""Batch normalisation whose training pass is one fused kernel.

Keras 3 on TensorFlow computes training statistics from separate ops (mean, squared difference, tile, multiply, ...),
which cost a third to a half of a convolutional net's training step. TensorFlow's `FusedBatchNormV3` does forward and
backward in one kernel each. `benchmarks/batch_norm.py` measures the difference.
"""

import contextvars

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf

# Set while the step of a replica is traced: a scalar, 0.0 where the replica has nothing but padding, else 1.0.
PRESENT = contextvars.ContextVar("present", default=None)


@keras.saving.register_keras_serializable("kerasnets")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with the same arguments, variables and results, fused while training.

    Fused: TensorFlow backend, 4-D input, last axis, float32 or half precision, no mask. There, synchronised statistics
    leave out the padding of a replica without examples. Everything else, inference included, runs Keras's own code.
    Input and output: (batch, height, width, channels).

    Source: Ioffe and Szegedy 2015, algorithm 1, https://arxiv.org/abs/1502.03167
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable) or mask is not None or not self._can_fuse(inputs):
            return super().call(inputs, training=training, mask=mask)
        return self._synchronized(inputs) if self.synchronized else self._fused(inputs)

    def _can_fuse(self, inputs) -> bool:
        return (
            ON_TENSORFLOW
            and inputs.shape.rank == 4
            and self.axis in (-1, 3)
            and inputs.dtype in (tf.float32, tf.float16, tf.bfloat16)
        )

    def _fused(self, x):
        # In mixed precision the kernel reads half-precision pixels and keeps float32 statistics. Keras casts for that.
        channels = (x.shape[-1],)
        output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(channels),
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros(channels),
            mean=tf.zeros(channels),
            variance=tf.zeros(channels),
            epsilon=self.epsilon,
            is_training=True,
        )
        self.update_moving_statistics(mean, variance, tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32))
        return output

    def _synchronized(self, x):
        """Normalises by the statistics of all replicas' examples."""
        x = tf.cast(x, tf.float32)
        present = 1.0 if PRESENT.get() is None else PRESENT.get()
        count = present * tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
        # One sum over the replicas: each replica may take several sums in another order.
        sums = [present * tf.reduce_sum(x, [0, 1, 2]), present * tf.reduce_sum(tf.square(x), [0, 1, 2]), [count]]
        context, channels = tf.distribute.get_replica_context(), x.shape[-1]
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.concat(sums, 0))
        total, squares, count = sums[:channels], sums[channels:-1], sums[-1]
        mean = total / count
        variance = squares / count - tf.square(mean)
        self._update(self.moving_mean, mean, count)
        self._update(self.moving_variance, variance, count)
        scale, offset = (self.gamma if self.scale else None), (self.beta if self.center else None)
        return tf.cast(tf.nn.batch_normalization(x, mean, variance, offset, scale, self.epsilon), self.compute_dtype)

    def update_moving_statistics(self, mean, variance, count) -> None:
        """Updates the moving averages with a batch's mean and unbiased variance over `count` pixels.

        A replica without examples leaves the averages unchanged: its statistics are NaN or those of padding.
        """
        count = count if PRESENT.get() is None else count * PRESENT.get()
        self._update(self.moving_mean, mean, count)
        # Keras keeps the biased variance.
        self._update(self.moving_variance, variance * ((count - 1.0) / tf.maximum(count, 1.0)), count)

    def _update(self, moving, batch, count) -> None:
        batch = tf.cast(batch, moving.dtype)
        taken = count > 0
        if self.compute_dtype == "float16":  # Loss scaling skips steps that overflow; so do the averages.
            taken &= tf.math.is_finite(batch)
        batch = tf.where(taken, batch, moving)
        moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
