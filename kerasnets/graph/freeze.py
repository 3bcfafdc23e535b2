"""Freezing the first layers of a network for fine-tuning."""

import keras

from kerasnets.graph.walk import calls, classifiers, producer
from kerasnets.registry import did_you_mean

NOTHING = "nothing"


def freeze(model: keras.Model, upto: str | None = None, *, batch_norm: str = "frozen") -> tuple[str, ...]:
    """Freezes a network up to some layers, and unfreezes all other layers. Compile the model afterwards.

    A frozen weight has no gradient: it is neither trained nor decayed.

    Args:
        model: a network of this package.
        upto: the last layers to freeze: a layer's name, or the module path that several names begin with (`"layer3"`,
            `"blocks.4"`). All layers that they are computed from are frozen too. `None` freezes everything but the
            classifiers; in a network without its top that is everything. `"nothing"` freezes nothing.
        batch_norm: `"frozen"`: in the frozen part, batch normalisation keeps its moving statistics and uses them in
            training. `"train"`: all batch normalisation is trained, statistics, scale and offset.

    Returns:
        The names of the frozen layers that have weights, in the order of the graph.

    Raises:
        ValueError: for a layer that the network does not have, or another `batch_norm`.
    """
    if batch_norm not in ("frozen", "train"):
        raise ValueError(f"`batch_norm` should be 'frozen' or 'train'. Received: batch_norm={batch_norm!r}")
    below = _below(model, _ends(model, upto))
    frozen = []
    for layer in model.layers:
        layer.trainable = layer.name not in below
        for part in getattr(layer, "parts", (layer,)):  # some layers of ours hold other layers
            if isinstance(part, keras.layers.BatchNormalization) and batch_norm == "train":
                part.trainable = True
        if layer.weights and not layer.trainable_weights:
            frozen.append(layer.name)
    return tuple(frozen)


def _ends(model, upto: str | None) -> set[str]:
    """Returns the names of the last layers to freeze."""
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
            f"`upto` should be a layer of {model.name!r}, a path that layer names begin with, None or {NOTHING!r}."
            f"{did_you_mean(upto, parts)} Received: upto={upto!r}"
        )
    return ends


def _below(model, ends: set[str]) -> set[str]:
    """Returns the names of the layers `ends`, and of every layer that they are computed from."""
    below, wanted = set(), set()
    for layer, inputs, outputs in reversed(list(calls(model))):
        if layer.name in ends or any(id(output) in wanted for output in outputs):
            below.add(layer.name)
            wanted |= {id(tensor) for tensor in inputs}
    return below
