"""From a checkpoint of any convention to the tensors of a model: the general rule and a short table for each source.

Our layer names are the module paths of the public PyTorch checkpoints, so most names are right as they stand. The
tables below are the exceptions: pattern -> replacement, first match counts.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np

from kerasnets.weights.files import Checkpoint
from kerasnets.weights.fit import add_scales, drop_background, fold_biases
from kerasnets.weights.keras_names import keras_names
from kerasnets.weights.mapping import Tensor, classifier_module, tensors

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


def entries(checkpoint: Checkpoint, model: keras.Model, format: str) -> tuple[dict[str, Entry], list[str]]:
    """Finds each tensor of a model in a checkpoint.

    Returns:
        What the model's tensors are called -> entry, for those that were found; the checkpoint's names that nothing
        wants.

    Raises:
        ValueError: for a format that the file cannot have.
    """
    if (checkpoint.layout == "keras") != format.startswith("keras"):
        raise ValueError(f"{checkpoint.source} is in {checkpoint.layout}'s layout. Received: format={format!r}")
    if checkpoint.layout == "keras":
        names = keras_names(checkpoint, model, own=format == "keras")
    else:
        names = torch_names(checkpoint, model, format)
    wanted = {tensor.name(): tensor for tensor in tensors(model)}
    found = {name: entry(checkpoint, names[name], tensor) for name, tensor in wanted.items() if name in names}
    spare = {n: Entry(r, checkpoint.shape(r), partial(checkpoint.__getitem__, r)) for n, r in names.items()}
    spare = {name: kept for name, kept in spare.items() if name not in wanted}
    given = set(spare)
    fold_biases(found, spare, model)
    used = {names[name] for name in (*found, *(given - set(spare)))}
    add_scales(found, Entry)
    drop_background(found, model)
    return {n: e for n, e in found.items() if n in wanted}, [name for name in checkpoint if name not in used]


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
