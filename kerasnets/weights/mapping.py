"""The one rule that turns a checkpoint's tensor names and layouts into ours.

Our layer names are the module paths of the public PyTorch checkpoints, so `layer1.0.conv1.weight` is the kernel of
the layer `layer1.0.conv1`, transposed as its kind of layer asks. Only the classifier has another name: ours is always
`predictions`.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from kerasnets.graph.walk import flattened_from
from kerasnets.weights.files import Checkpoint

FORMATS = ("auto", "torchvision", "timm", "efficientnet_pytorch", "keras_applications", "keras")

# Files of 2017 count the two halves of a dense layer after the dot.
TORCHVISION = ((r"(.*denselayer\d+\.(?:norm|conv))\.(\d\..*)", r"\1\2"),)
# VGG's two dense layers are convolutions over the whole map there.
TIMM = ((r"pre_logits\.fc1\.(.*)", r"classifier.0.\1"), (r"pre_logits\.fc2\.(.*)", r"classifier.3.\1"))
# A block without expansion (the first stage) starts at the depthwise convolution; BLOCK stands for `blocks.<s>.<r>`.
EFFICIENTNET_TOP = (
    (r"_conv_stem\.(.*)", r"conv_stem.\1"), (r"_conv_head\.(.*)", r"conv_head.\1"),
    (r"_bn0\.(.*)", r"bn1.\1"), (r"_bn1\.(.*)", r"bn2.\1"), (r"_fc\.(.*)", r"classifier.\1"),
)  # fmt: skip
EFFICIENTNET_EXPANDED = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand", "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
EFFICIENTNET_PLAIN = {**EFFICIENTNET_EXPANDED, "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
# What public checkpoints call the classifier, most specific first.
_CLASSIFIERS = (
    r"fc", r"linear", r"classifier\.\d+", r"classifier", r"last_linear", r"head\.fc", r"head", r"_fc", r"output",
    r"conv10", r"fc8", r"logits", r"classif",
)  # fmt: skip
_BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# Parts of a checkpoint that a model may lack: counters, and classifiers that only training uses.
_OPTIONAL = re.compile(r".*num_batches_tracked$|(aux|AuxLogits|aux_logits)\w*\..*")
# keras.applications' EfficientNet holds its input's mean and variance.
_OPTIONAL_IN_KERAS = re.compile(r"(seed_generator|normalization)(_\d+)?/.*|(aux|AuxLogits)\w*[./].*")
# Layers of the top, in any convention.
_TOP = re.compile(
    r"(_?fc\d*|(last_)?linear|classifier|head|pre_logits|[Ll]ogits|output|classif|conv10|conv_head|conv_preds|conv_2"
    r"|predictions|probs|cccp6|cccp8-1024)(\..*)?"
)


class Tensor(NamedTuple):
    """One weight of a model: where it goes, what the checkpoint calls it, and how the layout changes."""

    variable: keras.Variable
    layer: str
    suffix: str
    convert: Callable[[np.ndarray], np.ndarray]

    def name(self, module: str | None = None) -> str:
        """The checkpoint's name, `module` standing in for the layer's own name."""
        return f"{module or self.layer}.{self.suffix}"


def tensors(model: keras.Model) -> list[Tensor]:
    """Lists every weight of a model that a checkpoint should have."""
    return [
        Tensor(variable, layer.name, *_rule(layer, variable))
        for layer in layers_with_weights(model)
        for variable in layer.weights
        if "seed" not in variable.name
    ]


def layers_with_weights(model: keras.Model) -> list:
    """The layers whose weights a checkpoint should have, in the order of the graph.

    A layer that recomputes what it is made of holds the usual layers as its parts; a counter of training steps is no
    weight.
    """
    parts = (part for outer in model.layers for part in getattr(outer, "parts", (outer,)))
    return [layer for layer in parts if layer.weights and not getattr(layer, "training_state", False)]


def classifier_module(names, model: keras.Model) -> str | None:
    """The module of a checkpoint that is the classifier: one that is not a layer of the model, of those a source may
    use."""
    modules = {name.rpartition(".")[0] for name in names}
    layers = {layer.name for layer in model.layers}
    if "predictions" in modules:
        return "predictions"
    for pattern in _CLASSIFIERS:
        fitting = sorted(m for m in modules - layers if re.fullmatch(pattern, m))
        if fitting:
            return fitting[-1]
    return None


def needless(names, checkpoint, model: keras.Model) -> set[str]:
    """Those of a checkpoint's tensors that may go unused: counters, classifiers of training, and the layers of the
    top when the model has none."""
    separator, pattern = {"keras": ("/", _OPTIONAL_IN_KERAS), "torch": (".", _OPTIONAL)}[checkpoint.layout]
    counters = {layer.name for layer in model.layers if getattr(layer, "training_state", False)}
    headless = not any(layer.name == "predictions" for layer in model.layers)

    def may_go(name):
        layer = name.rpartition(separator)[0]
        return layer in counters or pattern.fullmatch(name) or (headless and _TOP.fullmatch(layer))

    return {name for name in names if may_go(name)}


def _rule(layer, variable):
    if hasattr(layer, "checkpoint_names"):
        return layer.checkpoint_names.get(variable.name, variable.name), np.asarray
    if isinstance(layer, keras.layers.BatchNormalization):
        return _BATCH_NORM[variable.name], np.asarray
    if variable.name == "bias":
        return "bias", np.asarray
    shape = tuple(variable.shape)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "weight", lambda w: w.reshape(shape[2], shape[3], *w.shape[-2:]).transpose(2, 3, 0, 1)
    if isinstance(layer, keras.layers.Conv2D):
        return "weight", lambda w: _as_convolution(w)
    if isinstance(layer, keras.layers.Dense):
        return "weight", lambda w: _as_dense(w, flattened_from(layer))
    return variable.name, np.asarray


def _as_convolution(weight: np.ndarray) -> np.ndarray:
    """(out, in, height, width), or (out, in) for 1x1, to (height, width, in, out)."""
    return (weight if weight.ndim == 4 else weight[:, :, None, None]).transpose(2, 3, 1, 0)


def _as_dense(weight: np.ndarray, flattened: tuple | None) -> np.ndarray:
    """(out, in) to (in, out); inputs that were flattened from (channels, height, width) become (height, width,
    channels)."""
    if flattened is not None:
        height, width, channels = flattened
        if weight[0].size != height * width * channels:  # trained at another input size
            height = width = math.isqrt(weight[0].size // channels)
        weight = weight.reshape(len(weight), channels, height, width).transpose(0, 2, 3, 1)
    return weight.reshape(len(weight), -1).T


class Entry(NamedTuple):
    """A tensor that a model wants, as a checkpoint has it.

    Attributes:
        name: what the checkpoint calls it.
        shape: in Keras's order; `None` when it has none that could fit.
        read: returns the array in Keras's layout.
        note: what was done to it, for the report.
    """

    name: str
    shape: tuple | None
    read: Callable[[], np.ndarray]
    note: str = ""


def recognise(checkpoint: Checkpoint, model: keras.Model) -> str:
    """Returns which of `FORMATS` a checkpoint is in."""
    if checkpoint.layout == "keras":
        layers = {name.rpartition("/")[0] for name in checkpoint}
        ours = {tensor.layer for tensor in tensors(model)}
        return "keras" if 2 * len(layers & ours) > len(layers) else "keras_applications"
    if any(name.startswith("_blocks.") for name in checkpoint):
        return "efficientnet_pytorch"
    return "timm" if any(name.startswith("pre_logits.") for name in checkpoint) else "torchvision"


def torch_names(checkpoint: Checkpoint, model: keras.Model, format: str) -> dict[str, str]:
    """Our name of a tensor -> the checkpoint's, by the general rule after the source's table."""
    blocks = blocks_of(model) if format == "efficientnet_pytorch" else []
    table = {"torchvision": TORCHVISION, "timm": TIMM, "efficientnet_pytorch": EFFICIENTNET_TOP}[format]
    renamed = {rename(flat_block(name, blocks), table): name for name in checkpoint}
    classifier = classifier_module(renamed, model)
    own = {t.name(classifier): t.name() for t in tensors(model) if t.layer == "predictions"}
    return {own.get(name, name): theirs for name, theirs in renamed.items()}


def rename(name: str, table) -> str:
    """Applies the first pattern of a table that matches the whole name."""
    for pattern, replacement in table:
        if found := re.fullmatch(pattern, name):
            return found.expand(replacement)
    return name


def blocks_of(model: keras.Model) -> list[tuple[str, bool]]:
    """The blocks of an EfficientNet in order: their path, and whether they expand."""
    layers = {layer.name for layer in model.layers}
    paths = {found[0] for name in layers if (found := re.match(r"blocks\.(\d+)\.(\d+)", name))}
    ordered = sorted(paths, key=lambda path: [int(part) for part in path.split(".")[1:]])
    return [(path, f"{path}.conv_pwl" in layers) for path in ordered]


def flat_block(name: str, blocks: list[tuple[str, bool]]) -> str:
    """`_blocks.7._bn0.weight` -> `blocks.3.2.bn1.weight`: blocks that are counted through stand in stages here."""
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.*)", name)
    if not found or int(found[1]) >= len(blocks):
        return name
    path, expands = blocks[int(found[1])]
    parts = EFFICIENTNET_EXPANDED if expands else EFFICIENTNET_PLAIN
    return f"{path}.{parts.get(found[2], found[2])}.{found[3]}"


def entry(checkpoint: Checkpoint, name: str, tensor: Tensor) -> Entry:
    """One tensor of a checkpoint on its way to `tensor`, whichever layout it has; nothing is read yet."""

    def convert(array):
        return tensor.convert(array) if checkpoint.layout == "torch" else reordered(array, tensor)

    try:
        # Tried on an array that takes no memory.
        shape = convert(np.broadcast_to(np.float32(0), checkpoint.shape(name))).shape
    except ValueError:
        shape = None
    return Entry(name, shape, lambda: convert(checkpoint[name]))


def reordered(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    """An array in Keras's layout whose 1x1 convolution may be a dense layer here, and the other way round."""
    rank = len(tensor.variable.shape)
    if array.ndim == 4 and rank == 2 and array.shape[:2] == (1, 1):
        return array[0, 0]
    return array[None, None] if array.ndim == 2 and rank == 4 else array
