"""Feature maps of a network, one for each stride, or the outputs of named layers; and what each stride costs."""

import re

import keras

from kerasnets.graph.cost import complexity, reach
from kerasnets.graph.walk import calls
from kerasnets.layers.network import Network, carried
from kerasnets.registry import did_you_mean


def features(model: keras.Model, levels=None, *, layers=None) -> keras.Model:
    """Returns a model whose outputs are feature maps, for detection, segmentation and transfer.

    The map of a stride is the last one before the block that begins the next stride. Weights are shared with `model`.

    Args:
        model: a network of this package, with or without its top.
        levels: the strides, for example `(8, 16, 32)`. `None` takes all strides of the network but 1.
        layers: names of layers instead, for example `["layer2.3", "layer4.0.conv1"]`; `model.summary()` lists them.

    Returns:
        A model whose output is a dict: stride -> tensor (batch, height, width, channels), or name of a layer -> its
        output.

    Raises:
        ValueError: for a stride or a layer that the network does not have, a layer that is called more than once, or
            both arguments.
    """
    if layers is not None:
        outputs = _layer_outputs(model, layers, levels)
        return Network(model.input, outputs, name=f"{model.name}_features", preprocessing=carried(model))
    maps = _last_maps(model)
    levels = [stride for stride in maps if stride > 1] if levels is None else list(levels)
    missing = [stride for stride in levels if stride not in maps]
    if missing or not levels:
        raise ValueError(f"`levels` should be strides of the network, {sorted(maps)}. Received: levels={levels}")
    outputs = {stride: maps[stride] for stride in levels}
    return Network(model.input, outputs, name=f"{model.name}_features", preprocessing=carried(model))


def stages(model: keras.Model) -> list[dict]:
    """Returns what the layers of each stride cost together, and the map that `features` gives for the stride.

    Returns:
        For each stride, smallest first, `{"stride", "shape", "layers", "parameters", "multiply_adds"}`. `shape` is the
        (height, width, channels) of the map. `layers` counts convolutions and dense layers. The last has the stride
        `None` and the shape of the model's output: the layers behind the last map. The dense layers of
        squeeze-and-excitation count where their channels are scaled.

    Raises:
        ValueError: for a model that `complexity` cannot count.
    """
    strides = {name: found.stride for name, found in reach(model).items()}
    maps = {stride: tuple(tensor.shape[1:]) for stride, tensor in _last_maps(model).items()}
    maps[None] = tuple(model.outputs[0].shape[1:])
    counts = {stride: {"layers": 0, "parameters": 0, "multiply_adds": 0} for stride in {None, *strides.values()}}
    stride = None
    for layer in reversed(complexity(model).layers):
        stride = strides.get(layer.name, stride)
        count = counts[stride]
        count["layers"] += layer.multiply_adds > 0
        count["parameters"] += layer.parameters
        count["multiply_adds"] += layer.multiply_adds
    kept = [stride for stride in maps if any(counts[stride].values())]
    return [{"stride": stride, "shape": list(maps[stride])} | counts[stride] for stride in kept]


def _layer_outputs(model, layers, levels) -> dict:
    """Returns name -> output of the layers called `layers`."""
    if levels is not None:
        raise ValueError(f"Give either `levels` or `layers`. Received: levels={levels}, layers={layers}")
    if isinstance(layers, str) or not layers:
        raise ValueError(f"`layers` should be a list of names of layers. Received: layers={layers!r}")
    made = {}
    for call in calls(model):
        made.setdefault(call.layer.name, []).append(call.outputs)
    for name in layers:
        if name not in made:
            raise ValueError(f"{model.name!r} has no such layer.{did_you_mean(name, made)} Received: layer {name!r}")
        if len(made[name]) > 1 or len(made[name][0]) > 1:
            raise ValueError(f"A layer should have one output and be called once. Received: layer {name!r}")
    return {name: made[name][0][0] for name in layers}


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
