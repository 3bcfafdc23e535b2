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
