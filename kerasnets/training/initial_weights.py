"""The weights that a network has before its first step: from a checkpoint, and from layers of a trained network."""

import warnings

import keras
import numpy as np

from kerasnets.build import load_initial_weights
from kerasnets.graph.walk import classifiers
from kerasnets.registry import get_variant
from kerasnets.runs.folder import load_model


def set_initial_weights(network: keras.Model, recipe):
    """Loads what `model.arguments.weights` and `model.start` of a recipe name.

    A dense classifier that the checkpoint does not fill, because the classes differ, is set to zero, so that all
    classes are equally likely. A variant's own initial values are made for as many classes as its paper has; with ten
    classes they give losses around 20.

    Returns:
        The report of the checkpoint, or `None` if the recipe names none.
    """
    variant, arguments, report = get_variant(recipe.model.name), recipe.model.arguments, None
    if (weights := arguments.get("weights")) is not None:
        # Dense classifiers only: the convolutions of SqueezeNet and NiN have a ReLU behind them, and at zero they would
        # have no gradient.
        names = classifiers(network)
        dense = [layer for layer in network.layers if layer.name in names and isinstance(layer, keras.layers.Dense)]
        before = [layer.kernel.numpy() for layer in dense]
        preprocessing = network.preprocessing
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the run's log names what was not loaded
            report = load_initial_weights(network, variant, weights, arguments)
        network.preprocessing = preprocessing  # the recipe may differ from the checkpoint
        for layer, kernel in zip(dense, before, strict=True):
            if (layer.kernel.numpy() == kernel).all():
                layer.kernel.assign(np.zeros_like(kernel))
    if recipe.model.start:
        copy_layers(network, recipe.model.start)
    return report


def copy_layers(network: keras.Model, options) -> list[str]:
    """Copies the weights of layers from a trained network, and returns the names of the layers that it filled.

    VGG's deeper configurations are trained so, from configuration A.

    Args:
        network: the network that will be trained.
        options: the recipe's `model.start` block. `weights` is a `.keras` file (`model.keras` of a run). `layers` maps
            our layers to those of the trained network; without it, all layers of the same name and the same shapes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: one of the two networks has no such layer, or the shapes differ. Nothing was copied.
    """
    trained = load_model(options.weights)
    ours, theirs = ({layer.name: layer for layer in model.layers} for model in (network, trained))
    pairs = options.layers
    if pairs is None:
        pairs = {name: name for name in ours if name in theirs and _shapes(ours[name]) == _shapes(theirs[name])}
    for name, source in pairs.items():
        for layers, wanted, whose in ((ours, name, network.name), (theirs, source, options.weights)):
            if wanted not in layers:
                raise ValueError(f"model.start.layers: {whose} has no layer {wanted!r}.")
        if _shapes(ours[name]) != _shapes(theirs[source]):
            raise ValueError(
                f"model.start.layers: the weights of {name!r} are {_shapes(ours[name])}, those of {source!r} in "
                f"{options.weights} {_shapes(theirs[source])}; leave that layer out."
            )
    for name, source in pairs.items():
        ours[name].set_weights(theirs[source].get_weights())
    return [name for name in pairs if ours[name].weights]


def _shapes(layer) -> list[tuple]:
    return [tuple(weight.shape) for weight in layer.weights]
