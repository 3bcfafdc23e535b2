"""Biases of a quantisation-aware network in the whole steps that its int8 file has for them.

A file keeps a bias as an integer of 32 bits, in steps of its input's step times its kernel's (Jacob et al. 2018,
section 2.4, https://arxiv.org/abs/1712.05877). Such a step is a hundredth of an output's step or less, but it moves one
output of some thousands to the next step, and each of these moves many outputs of the next layer. The network that is
kept therefore has the biases of the file.
"""

import keras
import numpy as np

from kerasnets.graph.fold import find_folds, scale_and_offset
from kerasnets.graph.walk import calls
from kerasnets.layers.fake_quantize import KERNEL_STEPS, ROUNDING, FakeQuantize


def round_biases(model: keras.Model) -> int:
    """Rounds the biases of a trained network, and the offsets of its normalisations; returns how many tensors.

    Nothing else changes. No weight moves by more than half a step.

    Args:
        model: what `quantization_aware` gives, with the ranges of its training.
    """
    found, folds = list(calls(model)), find_folds(model)
    steps = _steps_of_inputs(found)
    folded = {layer.name for fold in folds.values() for layer, _ in fold}
    layers, done = {call.layer.name: call.layer for call in found}, 0
    for name, layer in layers.items():
        if name in folds and layer.center:
            shares = [_share(linear, *share, steps.get(linear.name)) for linear, share in folds[name]]
            done += _assign(layer.beta, *(np.concatenate(parts) for parts in zip(*shares, strict=True)))
        elif isinstance(layer, keras.layers.BatchNormalization) and name not in folds and layer.center:
            scale, offset = scale_and_offset(layer)
            done += _assign(layer.beta, offset, _unit(np.abs(scale), steps.get(name)))
        elif isinstance(layer, ROUNDING) and getattr(layer, "use_bias", False) and name not in folded:
            done += _assign(layer.bias, *_share(layer, 1.0, 0.0, steps.get(name)))
    return done


def _steps_of_inputs(found: list) -> dict[str, float]:
    """Returns the step of the tensor that each layer reads, by the layer's name; 0 where it has none."""
    steps, read = {}, {}
    for call in found:
        before = steps.get(id(call.inputs[0]), 0.0) if call.inputs else 0.0
        read[call.layer.name] = before
        if isinstance(call.layer, FakeQuantize):
            low, high = call.layer.range
            before = (high - low) / 255
        steps |= {id(output): before for output in call.outputs}
    return read


def _share(layer, scale, offset, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bias of a linear layer after its normalisation, and the unit of each of its numbers; 0 for none."""
    kernel = np.abs(np.asarray(layer.kernel, np.float64))
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    largest = kernel.max(axis=(0, 1)).reshape(-1) if depthwise else kernel.max(axis=tuple(range(kernel.ndim - 1)))
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
    rounded = isinstance(layer, ROUNDING)
    return bias * scale + offset, _unit(largest * np.abs(scale), step if rounded else 0.0)


def _unit(largest: np.ndarray, step: float) -> np.ndarray:
    return largest.astype(np.float32).astype(np.float64) / KERNEL_STEPS * np.float32(step)


def _assign(weight, bias: np.ndarray, unit: np.ndarray) -> int:
    """Moves a weight by what rounds the bias that it is part of."""
    safe = np.where(unit > 0, unit, 1.0)
    weight.assign(np.asarray(weight, np.float64) + np.where(unit > 0, np.rint(bias / safe) * safe - bias, 0.0))
    return 1
