"""Local response normalisation across neighbouring feature maps."""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf


@keras.saving.register_keras_serializable("kerasnets")
class LocalResponseNormalization(keras.layers.Layer):
    """`b[i] = a[i] / (k + alpha * sum of a[j]^2 over the size maps j around i) ** beta`.

    (batch, height, width, channels) -> the same shape. On TensorFlow one kernel forward and one backward, computed in
    float32; in TFLite the builtin LOCAL_RESPONSE_NORMALIZATION, which stays in float in a quantised file.

    Args:
        size: number of maps in the sum, odd (the paper's n).
        k, alpha, beta: the paper's constants.
        divide_alpha: whether `alpha` is divided by `size` first, as cuda-convnet and Caffe do.

    Raises:
        ValueError: for an even size.

    Source: Krizhevsky et al. 2012, section 3.3
    """

    def __init__(self, size=5, k=2.0, alpha=1e-4, beta=0.75, divide_alpha=False, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"`size` should be an odd positive integer. Received: size={size!r}")
        self.size, self.k, self.alpha, self.beta, self.divide_alpha = size, k, alpha, beta, divide_alpha

    def call(self, inputs):
        alpha = self.alpha / self.size if self.divide_alpha else self.alpha
        x = keras.ops.cast(inputs, "float32")
        if ON_TENSORFLOW:
            x = tf.nn.local_response_normalization(x, self.size // 2, self.k, alpha, self.beta)
        else:
            x = x / (self.k + alpha * self._neighbours(keras.ops.square(x))) ** self.beta
        return keras.ops.cast(x, self.compute_dtype)

    def _neighbours(self, squares):
        reach, maps = self.size // 2, squares.shape[-1]
        padded = keras.ops.pad(squares, ((0, 0), (0, 0), (0, 0), (reach, reach)))
        return sum(padded[..., i : i + maps] for i in range(self.size))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("size", "k", "alpha", "beta", "divide_alpha")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
