"""Match the tensors of a checkpoint with the weights of a model, by name.

Our layer names are the module paths of the public PyTorch checkpoints, so that most names agree: the tensor
`layer1.0.conv1.weight` is the kernel of the layer `layer1.0.conv1`. Our classifier is always called `predictions`; the
tables below hold the other exceptions. The names in Keras files are in `keras_names`.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import keras
import numpy as np

from kerasnets.graph.walk import calls, classifiers, flattened_from
from kerasnets.weights.files import Checkpoint
from kerasnets.weights.keras_names import PYTORCH_SUFFIXES, keras_names

FORMATS = ("auto", "torchvision", "timm", "efficientnet_pytorch", "keras_applications", "keras", "kerasnets")

_LAYOUTS = {"keras_applications": "keras", "keras": "keras", "kerasnets": "kerasnets"}  # of the others: torch
# Each table holds (pattern of their name, our name); the first pattern that matches the whole name counts.
RENAMES = {
    # The files of 2017 write the number of a layer inside a dense layer after a dot.
    "torchvision": ((r"(.*denselayer\d+\.(?:norm|conv))\.(\d\..*)", r"\1\2"),),
    # The two hidden dense layers of VGG are convolutions over the whole map there.
    "timm": ((r"pre_logits\.fc1\.(.*)", r"classifier.0.\1"), (r"pre_logits\.fc2\.(.*)", r"classifier.3.\1")),
    "efficientnet_pytorch": (
        (r"_conv_stem\.(.*)", r"conv_stem.\1"), (r"_conv_head\.(.*)", r"conv_head.\1"),
        (r"_bn0\.(.*)", r"bn1.\1"), (r"_bn1\.(.*)", r"bn2.\1"), (r"_fc\.(.*)", r"classifier.\1"),
    ),
}  # fmt: skip
# The layers of a block in efficientnet_pytorch -> ours.
_EXPANDED_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand", "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
# A block without expansion, as in the first stage, begins with the depthwise convolution.
_PLAIN_BLOCK = {**_EXPANDED_BLOCK, "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
# The names of the classifier in public checkpoints, the most specific first.
_CLASSIFIERS = (
    r"fc", r"linear", r"classifier\.\d+", r"classifier", r"last_linear", r"head\.fc", r"head", r"_fc", r"output",
    r"conv10", r"fc8", r"logits", r"classif",
)  # fmt: skip
# Tensors that a model need not have: counters, auxiliary classifiers, the progress of a training, and the statistics of
# the input that keras.applications' EfficientNet holds.
_IGNORABLE = {
    "torch": re.compile(r".*num_batches_tracked|training_progress\..*|(aux|AuxLogits|aux_logits)\w*\..*"),
    "kerasnets": re.compile(r"(aux|AuxLogits|aux_logits)\w*\..*"),
    "keras": re.compile(r"(seed_generator|normalization)(_\d+)?/.*|training_progress/.*|(aux|AuxLogits)\w*[./].*"),
}
# The layers of the top, in any convention.
_TOP = re.compile(
    r"(_?fc\d*|(last_)?linear|classifier|head|pre_logits|[Ll]ogits|output|classif|conv10|conv_head|conv_preds|conv_2"
    r"|predictions|probs|cccp6|cccp8-1024)(\..*)?"
)


class WeightTarget(NamedTuple):
    """A weight of a model, with all that loading needs to know of its place in the network.

    Attributes:
        variable: the variable that a tensor is assigned to.
        layer: the layer that it belongs to.
        suffix: what PyTorch calls it: "weight", "bias", "running_mean" ...
        is_classifier: whether the outputs of the layer are the classes.
        reads_image: whether the layer is the first with weights that an image meets.
        flattened: the (height, width, channels) of the map that the inputs of a dense layer were flattened from.
    """

    variable: keras.Variable
    layer: keras.Layer
    suffix: str
    is_classifier: bool
    reads_image: bool
    flattened: tuple[int, int, int] | None

    @property
    def name(self) -> str:
        """The name of the tensor in a PyTorch checkpoint, for example `"layer1.0.conv1.weight"`."""
        return f"{self.layer.name}.{self.suffix}"

    @property
    def shape(self) -> tuple:
        """The shape of the variable."""
        return tuple(self.variable.shape)


class SourceTensor(NamedTuple):
    """A tensor of a checkpoint, not read yet.

    Attributes:
        name: its name in the checkpoint.
        stored_shape: its shape in the checkpoint.
        shape: its shape in Keras's layout; `None` when it cannot be brought into the layout of its target.
        read: returns the array in Keras's layout.
        note: how it is changed, for the report; "" when it is not.
    """

    name: str
    stored_shape: tuple
    shape: tuple | None
    read: Callable[[], np.ndarray]
    note: str = ""


class Match(NamedTuple):
    """The tensors of a checkpoint under our names.

    Attributes:
        checkpoint: where they come from.
        tensors: our name -> tensor; also those that the model has no weight for.
    """

    checkpoint: Checkpoint
    tensors: dict[str, SourceTensor]


def weight_targets(model: keras.Model) -> dict[str, WeightTarget]:
    """Returns name -> target for every weight that a checkpoint should have, in the order of the graph."""
    # A layer that wraps others, such as a residual branch, names them in `parts`. Training progress is no weight.
    layers = (part for layer in model.layers for part in getattr(layer, "parts", (layer,)))
    layers = [layer for layer in layers if layer.weights and not getattr(layer, "training_state", False)]
    heads, readers = classifiers(model), _image_readers(model)
    targets = [
        WeightTarget(variable, layer, _suffix(layer, variable), layer.name in heads, layer.name in readers, flattened)
        for layer in layers
        for flattened in [flattened_from(layer) if isinstance(layer, keras.layers.Dense) else None]
        for variable in layer.weights
    ]
    return {target.name: target for target in targets}


def _image_readers(model: keras.Model) -> set[str]:
    """Returns the names of the first layers with weights on every path from the image."""
    images, readers = {id(tensor) for tensor in model.inputs}, set()
    for layer, inputs, outputs in calls(model):
        if any(id(tensor) in images for tensor in inputs):
            if getattr(layer, "weights", ()):
                readers.add(layer.name)
            else:
                images |= {id(tensor) for tensor in outputs}
    return readers


def _suffix(layer: keras.Layer, variable: keras.Variable) -> str:
    kinds = (keras.layers.BatchNormalization, keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    return PYTORCH_SUFFIXES.get(variable.name, variable.name) if isinstance(layer, kinds) else variable.name


def match(checkpoint: Checkpoint, targets: dict[str, WeightTarget], format: str = "auto") -> Match:
    """Gives the tensors of a checkpoint our names. Nothing is read.

    Args:
        checkpoint: an open checkpoint.
        targets: the weights of the model.
        format: one of `FORMATS`.

    Raises:
        ValueError: for a format that the file cannot have.
    """
    format = recognise(checkpoint, targets) if format == "auto" else format
    if checkpoint.layout != _LAYOUTS.get(format, "torch"):
        raise ValueError(f"{checkpoint.source} is in {checkpoint.layout}'s layout. Received: format={format!r}")
    find_names = {"keras": keras_names, "torch": torch_names}.get(
        checkpoint.layout, lambda found, *_: {n: n for n in found}
    )
    names = find_names(checkpoint, targets, format)
    tensors = {ours: _source_tensor(checkpoint, theirs, targets.get(ours)) for ours, theirs in names.items()}
    return Match(checkpoint, tensors)


def _same_names(checkpoint: Iterable[str], targets: dict[str, WeightTarget], format: str) -> dict[str, str]:
    return {name: name for name in checkpoint}


def recognise(checkpoint: Checkpoint, targets: dict[str, WeightTarget]) -> str:
    """Returns which of `FORMATS` a checkpoint has."""
    if checkpoint.layout == "kerasnets":
        return "kerasnets"
    if checkpoint.layout == "keras":
        layers = {name.rpartition("/")[0] for name in checkpoint}
        known = layers & {target.layer.name for target in targets.values()}
        return "keras" if 2 * len(known) > len(layers) else "keras_applications"
    if any(name.startswith("_blocks.") for name in checkpoint):
        return "efficientnet_pytorch"
    return "timm" if any(name.startswith("pre_logits.") for name in checkpoint) else "torchvision"


def ignorable(names: Iterable[str], checkpoint: Checkpoint, targets: dict[str, WeightTarget]) -> set[str]:
    """Returns those tensors of a checkpoint that a model need not have.

    These are counters, auxiliary classifiers, and the layers of the top when the model has no top.
    """
    pattern, separator = _IGNORABLE[checkpoint.layout], "/" if checkpoint.layout == "keras" else "."
    has_top = any(target.is_classifier for target in targets.values())
    return {n for n in names if pattern.fullmatch(n) or (not has_top and _TOP.fullmatch(n.rpartition(separator)[0]))}


def torch_names(checkpoint: Iterable[str], targets: dict[str, WeightTarget], format: str) -> dict[str, str]:
    """Returns our name -> the checkpoint's name, for every tensor of a PyTorch checkpoint."""
    layers = {target.layer.name for target in targets.values()}
    blocks = _efficientnet_blocks(layers) if format == "efficientnet_pytorch" else []
    renamed = {_rename(_rename_block(name, blocks), RENAMES[format]): name for name in checkpoint}
    classifier = _classifier_module({name.rpartition(".")[0] for name in renamed}, layers)
    ours = {f"{classifier}.{t.suffix}": t.name for t in targets.values() if t.layer.name == "predictions"}
    return {ours.get(name, name): theirs for name, theirs in renamed.items()}


def _classifier_module(modules: set[str], layers: set[str]) -> str:
    """Returns the module of a checkpoint that is the classifier: a usual name that no layer of the model has."""
    if "predictions" in modules:
        return "predictions"
    found = (m for pattern in _CLASSIFIERS for m in sorted(modules - layers, reverse=True) if re.fullmatch(pattern, m))
    return next(found, "predictions")


def _rename(name: str, table) -> str:
    found = ((re.fullmatch(pattern, name), ours) for pattern, ours in table)
    return next((match.expand(ours) for match, ours in found if match), name)


def _efficientnet_blocks(layers: set[str]) -> list[tuple[str, bool]]:
    """Returns (path, whether it expands) of the blocks of an EfficientNet, in order."""
    paths = {found[0] for name in layers if (found := re.match(r"blocks\.(\d+)\.(\d+)", name))}
    ordered = sorted(paths, key=lambda path: [int(part) for part in path.split(".")[1:]])
    return [(path, f"{path}.conv_pwl" in layers) for path in ordered]


def _rename_block(name: str, blocks: list[tuple[str, bool]]) -> str:
    """`_blocks.7._bn0.weight` -> `blocks.3.2.bn1.weight`: we number the blocks stage by stage, they number all."""
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.*)", name)
    if not found or int(found[1]) >= len(blocks):
        return name
    path, expands = blocks[int(found[1])]
    parts = _EXPANDED_BLOCK if expands else _PLAIN_BLOCK
    return f"{path}.{parts.get(found[2], found[2])}.{found[3]}"


def _source_tensor(checkpoint: Checkpoint, name: str, target: WeightTarget | None) -> SourceTensor:
    def convert(array: np.ndarray) -> np.ndarray:
        if target is None:
            return array
        return to_keras_layout(array, target) if checkpoint.layout == "torch" else _to_rank_of(array, target)

    stored = checkpoint.shape(name)
    try:
        shape = convert(np.broadcast_to(np.float32(0), stored)).shape  # an array of this shape without memory
    except ValueError:
        shape = None
    return SourceTensor(name, stored, shape, lambda: convert(checkpoint[name]))


def to_keras_layout(array: np.ndarray, target: WeightTarget) -> np.ndarray:
    """Returns a tensor of PyTorch's layout in the layout of its target.

    Raises:
        ValueError: for a shape that such a layer cannot have.
    """
    if target.suffix != "weight" or isinstance(target.layer, keras.layers.BatchNormalization):
        return array
    if isinstance(target.layer, keras.layers.DepthwiseConv2D):  # (channels * multiplier, 1, height, width)
        return array.reshape(*target.shape[2:], *array.shape[-2:]).transpose(2, 3, 0, 1)
    if isinstance(target.layer, keras.layers.Conv2D):  # (out, in, height, width), or (out, in) for 1x1
        return (array[:, :, None, None] if array.ndim == 2 else array).transpose(2, 3, 1, 0)
    units, *inputs = array.shape  # a dense layer: (out, in)
    if target.flattened:  # from (channels, height, width) there, from (height, width, channels) here
        height, width, channels = target.flattened
        if math.prod(inputs) != height * width * channels:  # trained at another input size
            height = width = math.isqrt(math.prod(inputs) // channels)
        array = array.reshape(units, channels, height, width).transpose(0, 2, 3, 1)
    return array.reshape(units, -1).T


def _to_rank_of(array: np.ndarray, target: WeightTarget) -> np.ndarray:
    """Returns the kernel of a 1x1 convolution for a dense layer, and the other way round."""
    rank = len(target.shape)
    if array.ndim == 4 and rank == 2 and array.shape[:2] == (1, 1):
        return array[0, 0]
    return array[None, None] if array.ndim == 2 and rank == 4 else array
