"""Keras's backend: TensorFlow for our layers where it is the backend, and dots in names of layers under PyTorch.

Under JAX and PyTorch, TensorFlow need not be installed.
"""

import importlib

import keras

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# `None` elsewhere: a layer uses it only in the branch that it takes on TensorFlow.
tf = importlib.import_module("tensorflow") if ON_TENSORFLOW else None


def allow_dots() -> None:
    """Lets layers have dots in their names under PyTorch.

    Keras 3.15 registers the weights of a layer in a PyTorch module under their paths. PyTorch allows no dots there.
    Only Keras reads these names, so another character can stand for the dot. A test in tests/layers/test_backends.py
    fails when Keras changes this.
    """
    import torch
    from keras.src.backend.torch.layer import TorchLayer

    def track(layer):
        layer._torch_params = torch.nn.ParameterDict({_name(v): v.value for v in layer.variables})

    def added(layer, variable):
        if hasattr(layer, "_torch_params") and _name(variable) not in layer.torch_params:
            layer.torch_params[_name(variable)] = variable.value

    def removed(layer, variable):
        if hasattr(layer, "_torch_params") and _name(variable) in layer.torch_params:
            layer.torch_params.pop(_name(variable))

    TorchLayer._track_variables, TorchLayer._post_track_variable = track, added
    TorchLayer._post_untrack_variable = removed


def _name(variable) -> str:
    return variable.path.replace(".", "·")


def refusing(name: str):
    """Returns a function that takes the place of kerasnets.`name`, which only works on TensorFlow, and says so."""

    def refuse(*_, **__):
        raise RuntimeError(
            f"kerasnets.{name} needs TensorFlow: set KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: the backend {keras.backend.backend()!r}"
        )

    return refuse


if keras.backend.backend() == "torch":
    allow_dots()
