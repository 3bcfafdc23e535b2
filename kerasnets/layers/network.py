"""The class of this package's networks: a functional Keras model that carries the preprocessing of its weights."""

import dataclasses

import keras

from kerasnets.registry import Preprocessing


@keras.saving.register_keras_serializable("kerasnets")
class Network(keras.Model):
    """A functional `keras.Model` with the preprocessing that its weights need.

    The preprocessing is part of the configuration, so that `.keras` files and `from_config` keep it. A clone
    (`keras.models.clone_model`) has new weights and no preprocessing.

    Attributes:
        preprocessing: how images are prepared for its weights, or `None` where that is unknown.
    """

    # Keras below 3.15 saves the graph of a subclass only if its constructor has this signature.
    def __init__(self, *args, **kwargs):
        numbers = kwargs.pop("preprocessing", None)
        super().__init__(*args, **kwargs)
        self.preprocessing = Preprocessing.from_plain(numbers) if isinstance(numbers, dict) else numbers

    def get_config(self):
        numbers = self.preprocessing and self.preprocessing.as_plain()
        return {**super().get_config(), "preprocessing": numbers}


def at_size(preprocessing: Preprocessing, shape) -> Preprocessing:
    """Returns the preprocessing with the size of an input shape (batch, height, width, channels) where it is fixed."""
    return dataclasses.replace(preprocessing, size=shape[1] or preprocessing.size)


def carried(model: keras.Model) -> Preprocessing | None:
    """Returns a model's preprocessing: its own, or that of the one network that is nested in it."""
    if (own := getattr(model, "preprocessing", None)) is not None:
        return own
    nested = {carried(layer) for layer in model.layers if isinstance(layer, keras.Model)} - {None}
    return nested.pop() if len(nested) == 1 else None
