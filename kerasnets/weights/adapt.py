"""Making a checkpoint's tensor fit a model of other channels or another input size."""

import numpy as np

from kerasnets.weights.names import Tensor


def adapt(name: str, array: np.ndarray, tensor: Tensor, model) -> np.ndarray | None:
    """Returns `array` made to fit `tensor.variable`, or `None` when it cannot be.

    Args:
        name: what the checkpoint calls it.
        array: its values in Keras's layout, of another shape than the variable.
        tensor: where it goes.
        model: the network that it goes into.
    """
    return None
