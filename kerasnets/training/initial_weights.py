"""Layers that a network takes over from a trained one, as VGG's deeper configurations do from configuration A."""

import keras

from kerasnets.runs.folder import load_model


def copy_layers(network: keras.Model, options) -> list[str]:
    """Copies the weights of layers from a trained network, and returns the names of those that it filled.

    Args:
        network: the network that is to be trained.
        options: the recipe's `model.start` block: `weights` is a `.keras` file (`model.keras` of a run), `layers` says
            our layer -> its layer; without `layers`, every layer of the same name whose weights have the same shapes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a layer that one of the two does not have, or weights of other shapes; nothing was copied.
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
