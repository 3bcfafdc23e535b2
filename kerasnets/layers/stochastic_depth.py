"""Stochastic depth: whole residual branches are dropped while training."""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf

MODES = ("batch", "sample")
SCALES = ("train", "test")


@keras.saving.register_keras_serializable("kerasnets")
class StochasticDepth(keras.layers.Layer):
    """Drops its input, the branch of a residual block, with probability `rate` while training.

    Shape in and out: (batch, ...). The defaults are the paper's; timm, torchvision and EfficientNet use
    `mode="sample", scale="train"`.

    Args:
        rate: probability of dropping, 0 <= rate < 1 (the paper's 1 - p).
        mode: `"batch"` takes one decision for the whole batch, `"sample"` one for each example.
        scale: when the surviving branch is scaled: `"test"` multiplies by (1 - rate) at inference, `"train"` divides by
            it in training.
        seed: an integer makes the decisions reproducible. They are the same on one device and on several: all replicas
            share the decision for a batch, and each has its own part of the decisions for examples.

    Raises:
        ValueError: for a rate, mode or scale that is not allowed.

    Source: Huang et al. 2016, equations 2 and 5, https://arxiv.org/abs/1603.09382
    """

    def __init__(self, rate, mode="batch", scale="test", seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` should be at least 0 and less than 1. Received: rate={rate!r}")
        if mode not in MODES:
            raise ValueError(f"`mode` should be 'batch' or 'sample'. Received: mode={mode!r}")
        if scale not in SCALES:
            raise ValueError(f"`scale` should be 'train' or 'test'. Received: scale={scale!r}")
        self.rate, self.mode, self.scale, self.seed = rate, mode, scale, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=False):
        keep = 1.0 - self.rate
        if self.rate == 0:
            return inputs
        if not training:
            return inputs * keras.ops.cast(keep, inputs.dtype) if self.scale == "test" else inputs
        kept = keras.ops.cast(self._draw(keras.ops.shape(inputs)[0]) < keep, inputs.dtype)
        kept = keras.ops.reshape(kept, (-1,) + (1,) * (len(inputs.shape) - 1))
        return inputs * (kept / keras.ops.cast(keep, inputs.dtype) if self.scale == "train" else kept)

    def _draw(self, batch):
        """Uniform numbers: (1,), or (batch,) for single examples."""
        if self.mode == "batch":
            return keras.random.uniform((1,), dtype="float32", seed=self.seed_generator)
        replica, replicas = _replica()
        numbers = keras.random.uniform((batch * replicas,), dtype="float32", seed=self.seed_generator)
        return numbers if replicas == 1 else numbers[replica * batch : (replica + 1) * batch]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "mode": self.mode, "scale": self.scale, "seed": self.seed}


def _replica():
    """(index of this replica, number of replicas); (0, 1) outside of a distributed step."""
    if not ON_TENSORFLOW or tf.distribute.in_cross_replica_context():
        return 0, 1
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group, context.num_replicas_in_sync
