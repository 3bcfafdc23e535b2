"""A model's weights as PyTorch would hold them, written without the code of `kerasnets.weights`."""

import keras
import numpy as np

SUFFIXES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
SUFFIXES |= {"moving_variance": "running_var"}


def torch_arrays(model) -> dict[str, np.ndarray]:
    """Returns PyTorch's name -> array in PyTorch's layout; dense layers behind a `Flatten` are not reordered."""
    return {
        f"{layer.name}.{SUFFIXES.get(variable.name, variable.name)}": _in_torch_layout(np.array(variable), layer)
        for layer in model.layers
        for variable in layer.weights
    }


def _in_torch_layout(array, layer):
    if array.ndim == 4 and isinstance(layer, keras.layers.DepthwiseConv2D):
        height, width, channels, multiplier = array.shape
        return array.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
    return np.ascontiguousarray(array.transpose(order))
