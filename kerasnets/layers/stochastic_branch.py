"""Stochastic depth as its authors run it: a residual branch that is dropped is not computed."""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf


@keras.saving.register_keras_serializable("kerasnets")
class StochasticBranch(keras.layers.Layer):
    """Adds a residual branch to its shortcut; training drops the branch for a whole batch with probability `rate`.

    Called on [shortcut, x] -> shortcut + branch(x), the shape of `shortcut`. There is one decision for the batch, the
    same on every replica. A dropped branch costs nothing, neither forward nor backward: its gradients are zero and its
    moving statistics do not change. Inference multiplies the branch by the probability of keeping it.

    The branch is skipped on the TensorFlow backend. Elsewhere, and with synchronised batch normalisation, whose
    replicas cannot exchange statistics inside a condition, it is computed and multiplied by zero.

    Args:
        branch: a functional model, x -> (batch, ...). Its layers are this layer's `parts`.
        rate: probability of dropping the branch, 0 <= rate < 1 (the paper's 1 - p).
        seed: an integer makes the decisions reproducible, on one device and on several.

    Raises:
        ValueError: for a rate that is not allowed.

    Source: Huang et al. 2016, section 3, equations 2 and 5, https://arxiv.org/abs/1603.09382
    """

    def __init__(self, branch, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` should be at least 0 and less than 1. Received: rate={rate!r}")
        self.branch, self.rate, self.seed = branch, rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def parts(self) -> list:
        """The branch's layers."""
        return self.branch.layers

    def call(self, inputs, training=False):
        shortcut, x = inputs
        if not training or self.rate == 0:
            return shortcut + self.branch(x) * keras.ops.cast(1.0 - self.rate, self.compute_dtype)
        kept = keras.random.uniform((), seed=self.seed_generator) < 1.0 - self.rate
        if self._can_skip():
            return tf.cond(kept, lambda: shortcut + self.branch(x), lambda: tf.identity(shortcut))
        return shortcut + self.branch(x) * keras.ops.cast(kept, self.compute_dtype)

    def _can_skip(self) -> bool:
        synchronised = any(getattr(part, "synchronized", False) for part in self.parts)
        return ON_TENSORFLOW and not synchronised

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        branch = keras.saving.serialize_keras_object(self.branch)
        return {**super().get_config(), "branch": branch, "rate": self.rate, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "branch": keras.saving.deserialize_keras_object(config["branch"])})
