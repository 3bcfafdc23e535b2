"""Sub-sampling that is trained: how networks pooled before max pooling."""

import keras


@keras.saving.register_keras_serializable("kerasnets")
class TrainableSubsampling(keras.layers.Layer):
    """Sum of each `size` x `size` square, times one coefficient, plus one bias for each map; squares do not overlap.

    (batch, height, width, maps) -> (batch, height // size, width // size, maps), with 2 * maps trainable weights. The
    squashing function that follows is a layer of its own.

    Args:
        size: side of the square.
        coefficient_initializer: of the coefficients.

    Source: LeCun et al. 1998, section II.B (layers S2 and S4)
    """

    def __init__(self, size=2, coefficient_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.coefficient_initializer = keras.initializers.get(coefficient_initializer)

    @property
    def pool_size(self) -> tuple[int, int]:
        """The square that one output sees, for whoever computes receptive fields."""
        return self.size, self.size

    @property
    def strides(self) -> tuple[int, int]:
        """The distance between two squares."""
        return self.size, self.size

    def build(self, input_shape):
        maps = (input_shape[-1],)
        self.coefficient = self.add_weight(name="coefficient", shape=maps, initializer=self.coefficient_initializer)
        self.bias = self.add_weight(name="bias", shape=maps, initializer="zeros")

    def call(self, inputs):
        means = keras.ops.average_pool(inputs, self.size, self.size, padding="valid")
        return means * (self.coefficient * self.size**2) + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, maps = input_shape
        return batch, *(None if side is None else side // self.size for side in (height, width)), maps

    def get_config(self):
        initializer = keras.initializers.serialize(self.coefficient_initializer)
        return {**super().get_config(), "size": self.size, "coefficient_initializer": initializer}
