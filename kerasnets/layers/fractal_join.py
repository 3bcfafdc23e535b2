"""Joining the columns of a FractalNet, with drop-path."""

import keras


@keras.saving.register_keras_serializable("kerasnets")
class PathSampler(keras.layers.Layer):
    """Chooses local or global drop-path for a training step, and the one column that global drop-path keeps.

    Any tensor -> (columns,) float32: one-hot for global drop-path (probability `share`), zeros for local. All joins of
    a network read the same choice. With a `seed` the choices are reproducible, and the same on every replica.

    Source: Larsson et al. 2016, section 3.1, https://arxiv.org/abs/1605.07648
    """

    def __init__(self, columns, share=0.5, seed=None, **kwargs):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})
        self.columns, self.share, self.seed = columns, share, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training:
            return keras.ops.zeros((self.columns,))
        number = keras.random.uniform((), seed=self.seed_generator) / max(self.share, 1e-9)
        # Below 1 in a `share` of all steps. Its first `columns` equal parts stand for the columns; beyond 1 it is none.
        steps = keras.ops.cast(keras.ops.floor(number * self.columns), "int32")
        return keras.ops.one_hot(steps, self.columns)

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor((self.columns,), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "columns": self.columns, "share": self.share, "seed": self.seed}


@keras.saving.register_keras_serializable("kerasnets")
class FractalJoin(keras.layers.Layer):
    """Joins columns by their mean; in training by the mean of those that drop-path keeps.

    Inputs: the output of a `PathSampler`, then the columns that end here, the shallow ones first, each (batch, height,
    width, channels). They are the deepest columns of the network. Global drop-path keeps its own column only. (Where
    that column does not end here it keeps all; nothing reads the result.) Local drop-path drops each column with
    probability `rate`, but never all.

    Source: Larsson et al. 2016, section 3.1, https://arxiv.org/abs/1605.07648
    """

    def __init__(self, rate=0.15, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` should be at least 0 and less than 1. Received: rate={rate!r}")
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        path, *columns = inputs
        if not training:
            return sum(columns[1:], columns[0]) * keras.ops.cast(1.0 / len(columns), self.compute_dtype)
        alive = self._alive(keras.ops.cast(path, "float32"), len(columns))
        shares = keras.ops.cast(alive / keras.ops.sum(alive), self.compute_dtype)
        weighted = [column * shares[i] for i, column in enumerate(columns)]
        return sum(weighted[1:], weighted[0])

    def _alive(self, path, count):
        numbers = keras.random.uniform((count,), seed=self.seed_generator)
        kept = keras.ops.logical_or(numbers >= self.rate, numbers == keras.ops.max(numbers))
        here = path[-count:]
        everywhere = keras.ops.where(keras.ops.sum(path) > 0, keras.ops.ones((count,)), keras.ops.cast(kept, "float32"))
        return keras.ops.where(keras.ops.sum(here) > 0, here, everywhere)

    def compute_output_shape(self, input_shapes):
        return input_shapes[1]

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
