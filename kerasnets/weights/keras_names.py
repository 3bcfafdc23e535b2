"""The names in Keras weight files: our own, and those of keras.applications.

keras.applications gives the layers of ResNet, DenseNet and NASNet names that tell their block; these are translated.
The layers of other networks have numbers; these are paired with ours in the order of the graph, kind by kind.
"""

import re
from collections.abc import Iterable

import keras

from kerasnets.graph.walk import own_variables

# A variable of Keras -> what PyTorch, and so we, call it.
PYTORCH_SUFFIXES = {
    "kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
# A kind of layer -> its variables in the order in which a file numbers them.
_VARIABLES = {
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
    "separable": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "depthwise": ("kernel", "bias"), "conv": ("kernel", "bias"), "dense": ("kernel", "bias"),
}  # fmt: skip
# Names of ResNet and DenseNet there -> ours; the one that the model has is meant.
_STEM_AND_TOP = {
    "conv1_conv": ("conv1", "features.conv0"), "conv1_bn": ("bn1", "features.norm0"), "bn": ("features.norm5",),
    "fc1000": ("predictions",), "probs": ("predictions",), "predictions": ("predictions",),
}  # fmt: skip
_DENSENET_PARTS = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
# Names in a cell of our NASNet -> theirs.
_NASNET_PATHS = {
    "normal": {"0_left": "left1", "0_right": "right1", "1_left": "left2", "1_right": "right2", "4_left": "left5"},
    "reduction": {"0_left": "left1", "0_right": "right1", "1_right": "right2", "2_right": "right3", "4_left": "left4"},
}
_NASNET_PARTS = {"conv_1x1.conv": "conv_1", "conv_1x1.bn": "bn_1"}
_NASNET_ADJUSTMENTS = {
    "path_1.conv": "adjust_conv_1", "path_2.conv": "adjust_conv_2", "final_path_bn": "adjust_bn",
    "conv_prev_1x1.conv": "adjust_conv_projection", "conv_prev_1x1.bn": "adjust_bn",
}  # fmt: skip
_NASNET_STEM_AND_TOP = {"conv0.conv": "stem_conv1", "conv0.bn": "stem_bn1", "predictions": "predictions"}


def keras_names(checkpoint, targets: dict, format: str) -> dict[str, str]:
    """Returns our name -> the file's name, for every tensor whose layer the model has.

    Args:
        checkpoint: a `files.Checkpoint` in Keras's layout.
        targets: our name -> `mapping.WeightTarget`.
        format: `"keras"` for a file of this very network, or `"keras_applications"`.
    """
    theirs = {}
    for name in checkpoint:
        layer, _, variable = name.rpartition("/")
        theirs.setdefault(layer, []).append(variable)
    ours = {target.layer.name: target.layer for target in targets.values()}
    if format == "keras":
        return _own_names(theirs, ours, targets)
    shapes = {layer: [checkpoint.shape(f"{layer}/{v}") for v in variables] for layer, variables in theirs.items()}
    return _translated_names(theirs, {layer: _kind_by_shape(found) for layer, found in shapes.items()}, ours)


def _own_names(theirs: dict[str, list[str]], ours: dict[str, keras.Layer], targets: dict) -> dict[str, str]:
    names = {(target.layer.name, target.variable.name): name for name, target in targets.items()}
    found = {}
    for layer in (layer for name, layer in ours.items() if name in theirs):
        variables = [variable.name for variable in own_variables(layer)]
        for name in theirs[layer.name]:
            variable = variables[int(name)] if name.isdigit() and int(name) < len(variables) else name
            own = names.get((layer.name, variable), f"{layer.name}.{PYTORCH_SUFFIXES.get(variable, variable)}")
            found[own] = f"{layer.name}/{name}"
    return found


def _translated_names(theirs: dict[str, list[str]], kinds: dict[str, str], ours: dict[str, keras.Layer]) -> dict:
    pairs = nasnet_layers(ours) or _resnet_and_densenet_layers(theirs, ours)
    paired = {layer for layer, _ in pairs.values()}
    pairs |= _layers_in_order({n: kind for n, kind in kinds.items() if n not in paired}, ours, pairs)
    found = {}
    for own, (layer, part) in pairs.items():
        names = theirs.get(layer, [])
        for name, variable in zip(names, _variable_names(names, kinds.get(layer)), strict=False):
            kernel = f"{part or kinds[layer]}_kernel"  # one half of a separable convolution is a layer of its own here
            variable = "kernel" if variable == kernel else variable
            found[f"{own}.{PYTORCH_SUFFIXES.get(variable, variable)}"] = f"{layer}/{name}"
    return found


def _kind_by_shape(shapes: list[tuple]) -> str:
    """Returns the kind of a layer whose weights have these shapes."""
    ranks = [len(shape) for shape in shapes]
    if ranks[:2] == [4, 4]:
        return "separable"
    if ranks[0] == 4:
        return "depthwise" if shapes[0][3] == 1 and shapes[0][2] > 1 else "conv"
    if ranks[0] == 2:
        return "dense"
    return "norm" if len(ranks) >= 3 and 0 not in ranks else "other"


def _variable_names(names: list[str], kind: str | None) -> list[str]:
    """Returns the names of a layer's variables, found by their order where the file only numbers them."""
    if not all(name.isdigit() for name in names):
        return names
    variables = _VARIABLES.get(kind, ())
    if kind == "norm" and len(names) == 3:  # a normalisation without a scale
        variables = variables[1:]
    return list(variables[: len(names)])


def _resnet_and_densenet_layers(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Returns our layer -> (their layer, "")."""
    candidates = ((own, layer) for layer in theirs for own in _our_candidates(layer.replace("/", "_")))
    return {own: (layer, "") for own, layer in candidates if own in ours}


def _our_candidates(name: str) -> tuple[str, ...]:
    """conv2_block1_1_conv -> layer1.0.conv1 of a ResNet, or features.denseblock1.denselayer1.conv1 of a DenseNet."""
    if name in _STEM_AND_TOP:
        return _STEM_AND_TOP[name]
    if found := re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", name):
        stage, block, number, kind = found.groups()
        part = f"downsample.{0 if kind == 'conv' else 1}" if number == "0" else f"{kind}{number}"
        dense = _DENSENET_PARTS.get(f"{number}_{kind}")
        return (
            f"layer{int(stage) - 1}.{int(block) - 1}.{part}",
            f"features.denseblock{int(stage) - 1}.denselayer{block}.{dense}",
        )
    if found := re.fullmatch(r"pool(\d)_(bn|conv)", name):
        return (f"features.transition{int(found[1]) - 1}.{'norm' if found[2] == 'bn' else 'conv'}",)
    return ()


def _layers_in_order(kinds: dict[str, str], ours: dict[str, keras.Layer], pairs: dict) -> dict[str, tuple[str, str]]:
    """Pairs the layers whose names tell nothing, kind by kind, in the order of both graphs.

    Args:
        kinds: their layer -> its kind, for the layers that are not paired yet.
        ours: our layers by name.
        pairs: our layer -> (their layer, part), as far as they are paired.

    Returns:
        Our layer -> (their layer, the half of a separable convolution that it is, or "").
    """
    xception = any(name.endswith("skip") for name in ours)  # where only the shortcuts have automatic names
    their_queues, our_queues = {}, {}
    for name, kind in kinds.items():
        shortcut = xception and re.fullmatch(r"(conv2d|batch_normalization)(_\d+)?", name) is not None
        their_queues.setdefault((kind, shortcut), []).append(name)
    for name, layer in ours.items():
        if name not in pairs:
            our_queues.setdefault((_kind_of(layer, xception), name.endswith(("skip", "skipbn"))), []).append(name)
    found = {}
    for (kind, shortcut), names in our_queues.items():
        part = kind if xception and kind in ("depthwise", "pointwise") else ""
        queue = their_queues.get(("separable", False) if part else (kind, shortcut), [])
        found |= {name: (layer, part) for name, layer in zip(names, queue, strict=False)}
    convs, own_convs = their_queues.get(("conv", False), []), our_queues.get(("conv", False), [])
    if "predictions" in ours and "predictions" not in found | pairs and len(convs) == len(own_convs) + 1:
        found["predictions"] = convs[-1], ""  # MobileNet's classifier is a 1x1 convolution there
    return found


def _kind_of(layer: keras.Layer, xception: bool) -> str:
    if xception and layer.name.endswith((".conv1", ".pointwise")):
        return "depthwise" if layer.name.endswith(".conv1") else "pointwise"
    if isinstance(layer, keras.layers.BatchNormalization):
        return "norm"
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise"
    return "dense" if isinstance(layer, keras.layers.Dense) else "conv"


def nasnet_layers(ours: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Returns our layer -> (their layer, part), for the layers of a NASNet-A; `{}` for another network.

    A separable convolution is one layer there and two here: the part is "depthwise" or "pointwise". For any other
    layer it is "".
    """
    if not any(name.startswith("cell_stem_") for name in ours):
        return {}
    cells = {int(found[1]) for name in ours if (found := re.match(r"cell_(\d+)\.", name))}
    return {name: _nasnet_layer(name, len(cells) // 3) for name in ours if not name.startswith("aux")}


def _nasnet_layer(name: str, cells: int) -> tuple[str, str]:
    if name in _NASNET_STEM_AND_TOP:
        return _NASNET_STEM_AND_TOP[name], ""
    cell, number, rest = re.fullmatch(r"(cell_stem|reduction_cell|cell)_(\d+)\.(.*)", name).groups()
    number, kind = int(number), "normal" if cell == "cell" else "reduction"
    block = {"cell_stem": f"stem_{number + 1}", "reduction_cell": f"reduce_{cells * (number + 1)}"}.get(
        cell, str(number + (number >= cells))
    )
    if rest in _NASNET_ADJUSTMENTS:
        return f"{_NASNET_ADJUSTMENTS[rest]}_{block}", ""
    if rest in _NASNET_PARTS:
        return f"{kind}_{_NASNET_PARTS[rest]}_{block}", ""
    path, part = re.fullmatch(r"comb_iter_(\w+)\.(.*)", rest).groups()
    step = part.removeprefix("bn_sep_").removeprefix("separable_")[0]
    theirs = f"{kind}_{_NASNET_PATHS[kind][path]}_{block}"
    if part.startswith("bn"):
        return f"separable_conv_{step}_bn_{theirs}", ""
    return f"separable_conv_{step}_{theirs}", "depthwise" if "depthwise" in part else "pointwise"
