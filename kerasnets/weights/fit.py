"""Tensors that a checkpoint does not hold as such, but that follow from what it holds."""

import keras
import numpy as np

from kerasnets.graph.walk import classifiers, consumers
from kerasnets.weights.mapping import tensors

BACKGROUND_CLASSES = 1001


def fold_biases(found: dict, spare: dict, model: keras.Model) -> None:
    """Takes the bias of a convolution that has none here off the mean of the normalisation that follows it.

    Args:
        found: our name of a tensor -> entry; changed in place.
        spare: our name -> entry of what nothing wants; the biases that were used are taken out.
    """
    for name in [name for name in spare if name.endswith(".bias")]:
        norm = following_norm(model, name.removesuffix(".bias"))
        mean = found.get(f"{norm}.running_mean")
        if mean is None or mean.shape != spare[name].shape:
            continue
        bias = spare.pop(name)
        found[f"{norm}.running_mean"] = mean._replace(
            read=lambda mean=mean, bias=bias: mean.read() - bias.read(), note=f"less {bias.name}"
        )


def following_norm(model: keras.Model, name: str) -> str | None:
    """The batch normalisation that alone takes the output of the layer `name`."""
    layer = next((layer for layer in model.layers if layer.name == name), None)
    takers = consumers(layer) if layer is not None else []
    return takers[0].name if len(takers) == 1 and isinstance(takers[0], keras.layers.BatchNormalization) else None


def add_scales(found: dict, make) -> None:
    """Gives normalisations ones for a scale when the source has no scales at all.

    Args:
        found: our name of a tensor -> entry; changed in place.
        make: `(name, shape, read, note) -> entry`.
    """
    means = {name.removesuffix(".running_mean"): e for name, e in found.items() if name.endswith(".running_mean")}
    if any(f"{layer}.weight" in found for layer in means):
        return
    for layer, mean in means.items():
        ones = np.ones(mean.shape or (), np.float32)
        found[f"{layer}.weight"] = make(f"{layer}.weight", mean.shape, lambda ones=ones: ones, "ones, not in the file")


def drop_background(found: dict, model: keras.Model) -> None:
    """Drops class 0, the background, of a classifier of ImageNet's 1,000 classes and one more."""
    heads = classifiers(model)
    for tensor in tensors(model):
        entry = found.get(tensor.name())
        if entry is None or tensor.layer not in heads or not entry.shape or entry.shape[-1] != BACKGROUND_CLASSES:
            continue
        if tensor.variable.shape[-1] == BACKGROUND_CLASSES - 1:
            shape = (*entry.shape[:-1], BACKGROUND_CLASSES - 1)
            found[tensor.name()] = entry._replace(
                shape=shape, read=lambda entry=entry: entry.read()[..., 1:], note="without the background class"
            )
