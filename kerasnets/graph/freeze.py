"""Freezing the lower part of a network for fine-tuning."""

import keras

from kerasnets.graph.walk import calls, classifiers, producer
from kerasnets.registry import did_you_mean

NOTHING = "nothing"


def freeze(model: keras.Model, upto: str | None = None, *, batch_norm: str = "frozen") -> tuple[str, ...]:
    """Freezes the layers up to one of them and thaws all others. Compile the model afterwards.

    A frozen weight has no gradient: it is neither trained nor decayed.

    Args:
        model: a network of this package.
        upto: the last layers to freeze, by name or by the module path that their names begin with (`"layer3"`,
            `"blocks.4"`): these and all that they are computed from. `None` freezes everything but the classifiers, of
            a network without its top everything; `"nothing"` nothing.
        batch_norm: `"frozen"`: batch normalisation in the frozen part keeps its moving statistics and uses them while
            training; `"train"`: it goes on as if nothing were frozen: statistics, scale and offset follow the new
            images.

    Returns:
        The names of the frozen layers that have weights, in the order of the graph.

    Raises:
        ValueError: for a layer that the network does not have.
    """
    if batch_norm not in ("frozen", "train"):
        raise ValueError(f"`batch_norm` should be 'frozen' or 'train'. Received: batch_norm={batch_norm!r}")
    below = _below(model, _ends(model, upto))
    frozen = []
    for layer in model.layers:
        layer.trainable = layer.name not in below
        for part in getattr(layer, "parts", (layer,)):  # a layer that recomputes what it is made of has parts
            if isinstance(part, keras.layers.BatchNormalization) and batch_norm == "train":
                part.trainable = True
        if layer.weights and not layer.trainable_weights:
            frozen.append(layer.name)
    return tuple(frozen)


def _ends(model, upto: str | None) -> set[str]:
    """The layers that are frozen with all that is below them."""
    if upto == NOTHING:
        return set()
    if upto is None:
        heads = classifiers(model)
        inputs = [tensor for call in calls(model) if call.layer.name in heads for tensor in call.inputs]
        return {producer(tensor).name for tensor in (inputs if heads else model.outputs)}
    names = [layer.name for layer in model.layers]
    ends = {name for name in names if name == upto or name.startswith(f"{upto}.")}
    if not ends:
        parts = {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1)}
        raise ValueError(
            f"`upto` should be a layer of {model.name!r}, the path that several begin with, None or {NOTHING!r}."
            f"{did_you_mean(upto, parts)} Received: upto={upto!r}"
        )
    return ends


def _below(model, ends: set[str]) -> set[str]:
    """The layers of `ends`, and every layer that they are computed from."""
    below, wanted = set(), set()
    for layer, inputs, outputs in reversed(list(calls(model))):
        if layer.name in ends or any(id(output) in wanted for output in outputs):
            below.add(layer.name)
            wanted |= {id(tensor) for tensor in inputs}
    return below
