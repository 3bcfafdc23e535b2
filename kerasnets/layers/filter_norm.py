"""A limit on the size of filters."""

import keras


@keras.saving.register_keras_serializable("kerasnets")
class MaxFilterRMS(keras.constraints.Constraint):
    """Scales each filter whose root mean square is above `limit` back to `limit`, after every step of the optimizer.

    Kernels are (height, width, channels, filters); the mean is over all axes but the last.

    Source: Zeiler and Fergus 2013, section 3.1: in all convolutional layers, because otherwise a few filters of the
        first layer dominate.
    """

    def __init__(self, limit=0.1):
        self.limit = limit

    def __call__(self, kernel):
        axes = tuple(range(len(kernel.shape) - 1))
        squares = keras.ops.mean(keras.ops.square(kernel), axis=axes, keepdims=True)
        return kernel * keras.ops.minimum(1.0, self.limit * keras.ops.rsqrt(keras.ops.maximum(squares, 1e-30)))

    def get_config(self):
        return {"limit": self.limit}
