"""The initialiser and the squashing function of the first convolutional networks."""

import math

import keras


@keras.saving.register_keras_serializable("kerasnets")
class FanInUniform(keras.initializers.Initializer):
    """Uniform in +-`limit` / fan-in, which keeps weighted sums in the squashing function's operating range.

    Args:
        fan_in: number of inputs of a unit, or one such number for each index of the weight's last axis; `None` takes
            the product of all axes but the last.
        limit: numerator.
        seed: integer, or `None`.

    Source: LeCun et al. 1998, appendix A
    """

    def __init__(self, fan_in=None, limit=2.4, seed=None):
        self.fan_in, self.limit, self.seed = fan_in, limit, seed

    def __call__(self, shape, dtype=None):
        fan_in = math.prod(shape[:-1]) if self.fan_in is None else self.fan_in
        draw = keras.initializers.RandomUniform(-self.limit, self.limit, self.seed)(shape, dtype)
        return draw / keras.ops.cast(fan_in, draw.dtype)

    def get_config(self):
        return {"fan_in": self.fan_in, "limit": self.limit, "seed": self.seed}


@keras.saving.register_keras_serializable("kerasnets")
def scaled_tanh(x):
    """`1.7159 tanh(2x/3)`: passes through (1, 1) and (-1, -1), where its second derivative is largest.

    Source: LeCun et al. 1998, section II.B and appendix A
    """
    return 1.7159 * keras.ops.tanh(x * (2.0 / 3.0))
