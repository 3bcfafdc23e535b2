"""Convolution by a connection table: each output map sees only some of the input maps."""

import keras
import numpy as np

from kerasnets.layers.fan_in import FanInUniform


@keras.saving.register_keras_serializable("kerasnets")
class PartialConv2D(keras.layers.Layer):
    """2-D convolution without padding whose output map `i` sees the input maps `connections[i]` and no others.

    (batch, height, width, maps) -> (batch, height - k + 1, width - k + 1, len(connections)). The weights are one
    `kernel_size` x `kernel_size` kernel for each connection and one bias for each output map, so that LeNet-5's C3 has
    exactly 1,516. The layer computes with one dense kernel that has zeros where nothing is connected. A matrix product
    with a constant makes it from the weights; an exported file has the finished kernel.

    Args:
        connections: for each output map the numbers of the input maps that it sees.
        kernel_size: side of the kernels.
        kernel_initializer: of the kernels (k, k, number of connections); `None` is uniform in +-2.4 / fan-in, each
            output map with the fan-in of its own.

    Raises:
        ValueError: for a map without connections or an input map that does not exist.

    Source: LeCun et al. 1998, table I
    """

    def __init__(self, connections, kernel_size=5, kernel_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.connections = tuple(tuple(int(source) for source in sources) for sources in connections)
        self.kernel_size = kernel_size
        if not self.connections or not all(self.connections):
            raise ValueError(f"Every map needs at least one connection. Received: connections={connections!r}")
        fan_in = [kernel_size**2 * len(sources) for sources in self.connections for _ in sources]
        self.kernel_initializer = keras.initializers.get(kernel_initializer) or FanInUniform(fan_in)

    def build(self, input_shape):
        maps, filters = input_shape[-1], len(self.connections)
        pairs = [(source, target) for target, sources in enumerate(self.connections) for source in sources]
        if min(pairs)[0] < 0 or max(pairs)[0] >= maps:
            raise ValueError(f"`connections` names input maps 0 to {maps - 1}. Received: {sorted(set(pairs))[-1][0]}")
        shape = (self.kernel_size, self.kernel_size, len(pairs))
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(filters,), initializer="zeros")
        self._places = np.zeros((len(pairs), maps * filters), "float32")
        for row, (source, target) in enumerate(pairs):
            self._places[row, source * filters + target] = 1.0

    def call(self, inputs):
        kernel = keras.ops.matmul(self.kernel, keras.ops.cast(self._places, self.compute_dtype))
        kernel = keras.ops.reshape(kernel, (self.kernel_size, self.kernel_size, -1, len(self.connections)))
        return keras.ops.conv(inputs, kernel, padding="valid", data_format="channels_last") + self.bias

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else side - self.kernel_size + 1 for side in input_shape[1:3])
        return input_shape[0], *sides, len(self.connections)

    def multiply_adds(self, source, target) -> int:
        """Multiply-adds of one image: every kernel at every place."""
        return target[1] * target[2] * self.kernel_size**2 * self.kernel.shape[-1]

    def get_config(self):
        return {
            **super().get_config(),
            "connections": self.connections,
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
