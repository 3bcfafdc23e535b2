"""Names of Keras weight files: our own, which need no table, and those of keras.applications.

keras.applications gives some networks names that say which block a layer is in (ResNet, DenseNet, NASNet), and leaves
others to automatic numbers. The first are translated, the others paired in the order of the graph, kind by kind.
"""

import re

import keras

from kerasnets.graph.walk import own_variables
from kerasnets.weights.mapping import layers_with_weights, tensors

# Their variable -> what PyTorch, and so we, call it.
SUFFIXES = {
    "kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
# Variables in the order of a file that only counts them.
COUNTED = {
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
    "separable": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "depthwise": ("kernel", "bias"), "conv": ("kernel", "bias"), "dense": ("kernel", "bias"),
}  # fmt: skip
DENSE_PARTS = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
FIXED = {
    "conv1_conv": ("conv1", "features.conv0"), "conv1_bn": ("bn1", "features.norm0"), "bn": ("features.norm5",),
    "fc1000": ("predictions",), "probs": ("predictions",), "predictions": ("predictions",),
}  # fmt: skip
# A path here -> its name there, in normal cells and in reduction cells.
PATHS = {
    "normal": {"0_left": "left1", "0_right": "right1", "1_left": "left2", "1_right": "right2", "4_left": "left5"},
    "reduction": {"0_left": "left1", "0_right": "right1", "1_right": "right2", "2_right": "right3", "4_left": "left4"},
}
PARTS = {"conv_1x1.conv": "conv_1", "conv_1x1.bn": "bn_1"}
ADJUSTMENTS = {
    "path_1.conv": "adjust_conv_1", "path_2.conv": "adjust_conv_2", "final_path_bn": "adjust_bn",
    "conv_prev_1x1.conv": "adjust_conv_projection", "conv_prev_1x1.bn": "adjust_bn",
}  # fmt: skip
STEM = {"conv0.conv": "stem_conv1", "conv0.bn": "stem_bn1", "predictions": "predictions"}


def keras_names(checkpoint, model: keras.Model, own: bool) -> dict[str, str]:
    """Our name of a tensor -> the file's, for every tensor whose layer the model has."""
    theirs = {}
    for name in checkpoint:
        layer, _, variable = name.rpartition("/")
        theirs.setdefault(layer, []).append(variable)
    return _own_names(theirs, model) if own else _their_names(checkpoint, theirs, model)


def _own_names(theirs: dict[str, list[str]], model) -> dict[str, str]:
    ours, found = {(tensor.layer, tensor.variable.name): tensor.name() for tensor in tensors(model)}, {}
    for layer in (layer for layer in layers_with_weights(model) if layer.name in theirs):
        counted = [variable.name for variable in own_variables(layer)]
        for name in theirs[layer.name]:
            variable = counted[int(name)] if name.isdigit() and int(name) < len(counted) else name
            mine = ours.get((layer.name, variable), f"{layer.name}.{SUFFIXES.get(variable, variable)}")
            found[mine] = f"{layer.name}/{name}"
    return found


def _their_names(checkpoint, theirs: dict[str, list[str]], model) -> dict[str, str]:
    kinds = {layer: _kind([checkpoint.shape(f"{layer}/{v}") for v in names]) for layer, names in theirs.items()}
    ours = {layer.name: layer for layer in layers_with_weights(model)}
    pairs = nasnet_names(ours) or _named(theirs, ours)
    pairs |= _in_order({n: k for n, k in kinds.items() if n not in {p[0] for p in pairs.values()}}, ours, pairs)
    found = {}
    for mine, (layer, part) in pairs.items():
        names = theirs.get(layer, [])
        for name, variable in zip(names, _variables(names, kinds.get(layer)), strict=False):
            kernel = part or kinds[layer]  # the half of a separable convolution that is a layer here
            variable = "kernel" if variable == f"{kernel}_kernel" else variable
            found[f"{mine}.{SUFFIXES.get(variable, variable)}"] = f"{layer}/{name}"
    return found


def _kind(shapes: list[tuple]) -> str:
    """What sort of layer has weights of these shapes."""
    ranks = [len(shape) for shape in shapes]
    if ranks[:2] == [4, 4]:
        return "separable"
    if ranks[0] == 4:
        return "depthwise" if shapes[0][3] == 1 and shapes[0][2] > 1 else "conv"
    if ranks[0] == 2:
        return "dense"
    return "norm" if len(ranks) >= 3 and 0 not in ranks else "other"


def _variables(names: list[str], kind: str | None) -> list[str]:
    """The variables of a layer; where they are only counted, a normalisation of three has no scale."""
    if not all(name.isdigit() for name in names):
        return list(names)
    counted = COUNTED.get(kind, ())
    return list(counted[1:] if kind == "norm" and len(names) == 3 else counted[: len(names)])


def _named(theirs, ours) -> dict[str, tuple[str, str]]:
    """Our layer -> (theirs, part of it) for ResNet and DenseNet."""
    found = {}
    for layer in theirs:
        for mine in _candidates(layer.replace("/", "_")):
            if mine in ours:
                found[mine] = layer, ""
    return found


def _candidates(name: str) -> tuple[str, ...]:
    """conv2_block1_1_conv -> layer1.0.conv1 of a ResNet, or features.denseblock1.denselayer1.conv1 of a DenseNet."""
    if name in FIXED:
        return FIXED[name]
    if found := re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", name):
        stage, block, number, kind = found.groups()
        part = f"downsample.{0 if kind == 'conv' else 1}" if number == "0" else f"{kind}{number}"
        dense = DENSE_PARTS.get(f"{number}_{kind}")
        return (
            f"layer{int(stage) - 1}.{int(block) - 1}.{part}",
            f"features.denseblock{int(stage) - 1}.denselayer{block}.{dense}",
        )
    if found := re.fullmatch(r"pool(\d)_(bn|conv)", name):
        return (f"features.transition{int(found[1]) - 1}.{'norm' if found[2] == 'bn' else 'conv'}",)
    return ()


def _in_order(theirs: dict[str, str], ours: dict, pairs: dict) -> dict[str, tuple[str, str]]:
    """Pairs what has no telling name, kind by kind, in the order of both graphs."""
    shortcuts = any(name.endswith("skip") for name in ours)  # Xception: automatic names stand for shortcuts alone
    queues, mine = {}, {}
    for name, kind in theirs.items():
        automatic = shortcuts and re.fullmatch(r"(conv2d|batch_normalization)(_\d+)?", name)
        queues.setdefault((kind, bool(automatic)), []).append(name)
    for name, layer in ours.items():
        if name not in pairs:
            mine.setdefault((_kind_of(layer, shortcuts), name.endswith(("skip", "skipbn"))), []).append(name)
    found = {}
    for key, names in mine.items():
        part = {"depthwise": "depthwise", "pointwise": "pointwise"}.get(key[0], "") if shortcuts else ""
        queue = queues.get(("separable", False) if part else key, [])
        found |= {name: (layer, part) for name, layer in zip(names, queue, strict=False)}
    convs = queues.get(("conv", False), [])
    if "predictions" in ours and "predictions" not in found | pairs and len(convs) == len(mine[("conv", False)]) + 1:
        found["predictions"] = convs[-1], ""  # a 1x1 convolution there
    return found


def _kind_of(layer, separable: bool) -> str:
    if separable and layer.name.endswith((".conv1", ".pointwise")):
        return "depthwise" if layer.name.endswith(".conv1") else "pointwise"
    if isinstance(layer, keras.layers.BatchNormalization):
        return "norm"
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise"
    return "dense" if isinstance(layer, keras.layers.Dense) else "conv"


def nasnet_names(layers) -> dict[str, tuple[str, str]]:
    """Our layer -> (their layer, "depthwise", "pointwise" or "" for all of it); empty for another network."""
    if not any(name.startswith("cell_stem_") for name in layers):
        return {}
    numbers = {int(found[1]) for name in layers if (found := re.match(r"cell_(\d+)\.", name))}
    return {name: _theirs(name, len(numbers) // 3) for name in layers if not name.startswith("aux")}


def _theirs(name: str, cells: int) -> tuple[str, str]:
    if name in STEM:
        return STEM[name], ""
    cell, number, rest = re.fullmatch(r"(cell_stem|reduction_cell|cell)_(\d+)\.(.*)", name).groups()
    number, kind = int(number), "normal" if cell == "cell" else "reduction"
    block = {"cell_stem": f"stem_{number + 1}", "reduction_cell": f"reduce_{cells * (number + 1)}"}.get(
        cell, str(number + (number >= cells))
    )
    if rest in ADJUSTMENTS:
        return f"{ADJUSTMENTS[rest]}_{block}", ""
    if rest in PARTS:
        return f"{kind}_{PARTS[rest]}_{block}", ""
    path, part = re.fullmatch(r"comb_iter_(\w+)\.(.*)", rest).groups()
    step = part.removeprefix("bn_sep_").removeprefix("separable_")[0]
    outside = f"{kind}_{PATHS[kind][path]}_{block}"
    if part.startswith("bn"):
        return f"separable_conv_{step}_bn_{outside}", ""
    return f"separable_conv_{step}_{outside}", "depthwise" if "depthwise" in part else "pointwise"
