"""Feature maps of a network, one for each stride."""

import re

import keras

from kerasnets.graph.cost import reach
from kerasnets.graph.walk import calls
from kerasnets.layers.network import Network, carried


def features(model: keras.Model, levels=None) -> keras.Model:
    """Returns a model with one feature map for each stride, for detection, segmentation and transfer.

    The map of a stride is the last one before the block that begins the next stride. Weights are shared with `model`.

    Args:
        model: a network of this package, with or without its top.
        levels: the strides, for example `(8, 16, 32)`. `None` takes all strides of the network but 1.

    Returns:
        A model whose output is a dict: stride -> tensor (batch, height, width, channels).

    Raises:
        ValueError: for a stride that the network does not have.
    """
    maps = _last_maps(model)
    levels = [stride for stride in maps if stride > 1] if levels is None else list(levels)
    missing = [stride for stride in levels if stride not in maps]
    if missing or not levels:
        raise ValueError(f"`levels` should be strides of the network, {sorted(maps)}. Received: levels={levels}")
    outputs = {stride: maps[stride] for stride in levels}
    return Network(model.input, outputs, name=f"{model.name}_features", preprocessing=carried(model))


def _last_maps(model) -> dict:
    """Returns stride -> the last tensor of that stride before a deeper block begins."""
    strides = {name: found.stride for name, found in reach(model).items()}
    made = [(call.layer.name, call.outputs[0]) for call in calls(model) if call.layer.name in strides]
    made = [(name, output) for name, output in made if not name.endswith(".pad")]
    maps = {}
    for stride in sorted(set(strides.values())):
        deeper = {_module(name) for name, _ in made if strides[name] > stride}
        at_stride = [(name, output) for name, output in made if strides[name] == stride]
        before = [output for name, output in at_stride if _module(name) not in deeper]
        if at_stride:
            maps[stride] = (before or [output for _, output in at_stride])[-1]
    return maps


def _module(name: str) -> str:
    """Returns the stage or block that a layer belongs to: its path up to the first part that holds a digit."""
    parts = name.split(".")
    depth = next((i for i, part in enumerate(parts) if re.search(r"\d", part)), 0)
    return ".".join(parts[: depth + 1])
