"""Magnitude pruning: which weights of a network become zero, and when.

The schedule is that of Zhu and Gupta 2017, "To prune, or not to prune": the sparsity rises fast at first, while many
weights are superfluous, and slowly at the end.
"""

import fnmatch

import numpy as np


def scheduled_sparsity(step: int, first: int, last: int, final: float, initial: float = 0.0) -> float:
    """Returns the sparsity after `step` steps: `initial` until `first`, `final` from `last` on."""
    left = 1.0 - min(max(step - first, 0) / max(last - first, 1), 1.0)
    return final + (initial - final) * left**3


def value_for(layer: str, general, layers: dict):
    """Returns the value of the first pattern in `layers` that the name of a layer matches, or the general one."""
    return next((value for pattern, value in layers.items() if fnmatch.fnmatchcase(layer, pattern)), general)


def mask_of(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """Returns float32 ones for the weights that stay, zeros for the given share of the smallest magnitudes."""
    count = round(sparsity * weights.size)
    mask = np.ones(weights.size, np.float32)
    mask[np.argsort(np.abs(weights).ravel(), kind="stable")[:count]] = 0.0
    return mask.reshape(weights.shape)


def masks(weights: dict[str, np.ndarray], sparsities: dict[str, float], scope: str = "layer") -> dict[str, np.ndarray]:
    """Returns the mask of each kernel.

    Args:
        weights: by the kernel's name.
        sparsities: by the kernel's name. With the scope "global" the kernels of equal sparsity are pruned together, by
            their magnitudes.
        scope: "layer" or "global".
    """
    if scope == "layer":
        return {name: mask_of(values, sparsities[name]) for name, values in weights.items()}
    found = {}
    for sparsity in set(sparsities.values()):
        group = {name: values for name, values in weights.items() if sparsities[name] == sparsity}
        whole = mask_of(np.concatenate([values.ravel() for values in group.values()]), sparsity)
        parts = np.split(whole, np.cumsum([values.size for values in group.values()])[:-1])
        found |= {name: part.reshape(group[name].shape) for name, part in zip(group, parts, strict=True)}
    return found


def magnitude_masks(kernels: dict, sparsity: float, scope: str = "layer") -> dict[str, tuple]:
    """Returns name -> (target, mask) for kernels of `calibration.kernels`."""
    weights = {name: target.variable.numpy() for name, target in kernels.items()}
    found = masks(weights, dict.fromkeys(weights, sparsity), scope)
    return {name: (target, found[name]) for name, target in kernels.items()}
