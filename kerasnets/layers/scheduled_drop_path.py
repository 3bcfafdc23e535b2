"""ScheduledDropPath: training drops paths of a cell, more and more often towards its end."""

import keras

from kerasnets.layers.stochastic_depth import StochasticDepth


@keras.saving.register_keras_serializable("kerasnets")
class TrainingProgress(keras.layers.Layer):
    """Tells the layers of a network which share of the training is done.

    Any tensor -> scalar, 0 at the start of the training and 1 at its end. The share is the layer's one non-trainable
    weight, `progress`. It is saved with the network. A trainer sets it with `set_training_progress`; inference ignores
    it.
    """

    # Checkpoints of other frameworks have no such weight.
    training_state = True

    def build(self, input_shape):
        self.progress = self.add_weight(
            shape=(), initializer="zeros", trainable=False, dtype="float32", autocast=False, name="progress",
            aggregation="only_first_replica",
        )  # fmt: skip

    def call(self, inputs):
        return keras.ops.convert_to_tensor(self.progress)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((), dtype="float32")


@keras.saving.register_keras_serializable("kerasnets")
class ScheduledDropPath(StochasticDepth):
    """Drops a path with a probability that grows linearly from 0 to `rate` over the training, for each image by itself.

    Called on [path, progress]: path (batch, ...) and the scalar of a `TrainingProgress` -> (batch, ...). A path that is
    kept is divided by the probability of keeping it, so that inference uses the path as it is.

    Args:
        rate: probability of dropping at the end of the training, 0 <= rate < 1.
        seed: an integer makes the decisions reproducible, on one device and on several.

    Raises:
        ValueError: for a rate that is not allowed.

    Source: Zoph et al. 2017, https://arxiv.org/abs/1707.07012, and the authors' code (tensorflow/models, slim,
        `_apply_drop_path`, version "v3").
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(rate, mode="sample", scale="train", seed=seed, **kwargs)

    def call(self, inputs, training=False):
        path, progress = inputs
        if not training or self.rate == 0:
            return path
        keep = 1.0 - self.rate * keras.ops.clip(keras.ops.cast(progress, "float32"), 0.0, 1.0)
        kept = keras.ops.cast(self._draw(keras.ops.shape(path)[0]) < keep, "float32") / keep
        return path * keras.ops.reshape(keras.ops.cast(kept, path.dtype), (-1,) + (1,) * (len(path.shape) - 1))

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        config = super().get_config()
        return {key: value for key, value in config.items() if key not in ("mode", "scale")}


def set_training_progress(model: keras.Model, share: float) -> None:
    """Tells a network which share of its training is done, 0 to 1. Networks without `TrainingProgress` do not change.

    Call it before every epoch or step, outside of compiled functions.
    """
    for layer in model.layers:
        if isinstance(layer, TrainingProgress):
            layer.progress.assign(min(max(share, 0.0), 1.0))
