"""Batch normalisation folded into the layers before it, for prediction: the same function with fewer layers."""

from collections import Counter

import keras
import numpy as np

from kerasnets.graph.walk import calls, deep_recursion
from kerasnets.layers.deformable_conv import DeformableConv2D
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.network import carried
from kerasnets.layers.stochastic_branch import StochasticBranch

# Layers whose output is linear in a kernel and a bias. Our grouped convolution is a Conv2D.
_LINEAR = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
    DeformableConv2D,
)


def inference_form(model: keras.Model) -> keras.Model:
    """Returns the form of a classifier that exported files are written from. It is the same on every machine.

    Batch normalisation is folded where possible, and each grouped convolution is one operator. The weights are copies.

    Args:
        model: a classifier with one output.
    """
    return native_groups(fold_batch_norm(model))


def native_groups(model: keras.Model) -> keras.Model:
    """Makes each grouped convolution of `model` one operator, and returns the model."""
    for part in (part for layer in model.layers for part in getattr(layer, "parts", (layer,))):
        if isinstance(part, GroupedConv2D):
            part.native = True
    return model


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns a new model in which each batch normalisation right after a linear layer is part of that layer.

    Linear layers are convolutions (plain, grouped, depthwise, separable, deformable) and dense layers, all without an
    activation. Several of them may stand before a normalisation, joined by one concatenation. A normalisation after
    any other layer stays, as most of those in pre-activation ResNets and DenseNets do. The result computes the same
    function as `model` does in prediction, with the moving statistics. It is not meant to be trained.

    Args:
        model: a functional model, ours or not. It is not changed.

    Returns:
        A functional model with the same name, inputs and outputs, and weights of its own. A layer that takes a
        normalisation in keeps its name and has a bias.
    """
    folds = find_folds(model)
    shares = {id(layer): share for fold in folds.values() for layer, share in fold}
    twins = {}

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, StochasticBranch):
            return StochasticBranch(fold_batch_norm(layer.branch), layer.rate, name=layer.name, dtype=config["dtype"])
        if id(layer) in shares:
            config["use_bias"] = True
        twins[id(layer)] = twin = layer.__class__.from_config(config)
        gone.update({id(twin)} if layer.name in folds else ())
        return twin

    gone = set()
    with deep_recursion():
        folded = keras.models.clone_model(
            model,
            clone_function=clone,
            call_function=lambda twin, *args, **kwargs: args[0] if id(twin) in gone else twin(*args, **kwargs),
        )
    for layer in model.layers:
        if id(layer) in shares:
            _assign_folded(twins[id(layer)], layer, *shares[id(layer)])
        elif layer.weights and layer.name not in folds and id(layer) in twins:
            twins[id(layer)].set_weights(layer.get_weights())
    folded.preprocessing = carried(model)
    return folded


def find_folds(model) -> dict[str, list]:
    """Returns name of a batch normalisation -> list of (linear layer, (scale, offset) to multiply into it)."""
    found = list(calls(model))
    made = {id(output): call for call in found for output in call.outputs}
    used = Counter(id(tensor) for call in found for tensor in call.inputs)
    used.update(id(output) for output in model.outputs)
    called = Counter(id(call.layer) for call in found)

    def sources(tensor) -> list | None:
        """Returns (linear layer, width) for the layers that make the channels of a tensor; `None` if it cannot fold."""
        layer, inputs, _ = made.get(id(tensor), (None, None, None))
        if layer is None or used[id(tensor)] > 1 or called[id(layer)] > 1:
            return None
        if isinstance(layer, keras.layers.Concatenate) and layer.axis in (-1, len(tensor.shape) - 1):
            parts = [sources(part) for part in inputs]
            return None if None in parts else [(source, width) for part in parts for source, width in part]
        linear = isinstance(layer, _LINEAR) and getattr(layer, "activation", None) in (None, keras.activations.linear)
        return [(layer, tensor.shape[-1])] if linear else None

    folds = {}
    for layer, (tensor, *_), _ in found:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, len(tensor.shape) - 1):
            if called[id(layer)] == 1 and (linear := sources(tensor)):
                ends = np.cumsum([width for _, width in linear])[:-1]
                shares = zip(*(np.split(numbers, ends) for numbers in scale_and_offset(layer)), strict=True)
                folds[layer.name] = [(source, share) for (source, _), share in zip(linear, shares, strict=True)]
    return folds


def scale_and_offset(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a batch normalisation computes in prediction, `scale * x + offset` per channel, in float64."""
    mean, variance = (np.asarray(v, np.float64) for v in (layer.moving_mean, layer.moving_variance))
    scale = (np.asarray(layer.gamma, np.float64) if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
    return scale, (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * scale


def _assign_folded(twin, layer, scale: np.ndarray, offset: np.ndarray) -> None:
    if isinstance(layer, keras.layers.SeparableConv2D):
        twin.depthwise_kernel.assign(layer.depthwise_kernel)
        kernel, goal = layer.pointwise_kernel, twin.pointwise_kernel
    else:
        kernel, goal = layer.kernel, twin.kernel
    per_output = scale.reshape(kernel.shape[2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else scale
    goal.assign(np.asarray(kernel, np.float64) * per_output)
    bias = 0.0 if layer.bias is None else np.asarray(layer.bias, np.float64)
    twin.bias.assign(bias * scale + offset)
