"""Experiments on residual networks: delete blocks.

Images are always (batch, height, width, channels), prepared as the model takes them; labels are numbers of classes.
Errors are shares of 1. `model` never keeps a change.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import batches, checked, logits_of
from kerasnets.graph.walk import described, opened_calls
from kerasnets.layers.stochastic_branch import StochasticBranch


def blocks_of(model: keras.Model) -> list[str]:
    """Returns the names of the layers that add a branch to its shortcut, in order; the first input is the shortcut."""
    return [call.layer.name for call in opened_calls(model) if _adds_a_branch(call.layer, len(call.inputs))]


def _adds_a_branch(layer, inputs: int) -> bool:
    return isinstance(layer, StochasticBranch) or (isinstance(layer, keras.layers.Add) and inputs == 2)


def lesion(model: keras.Model, images, labels, blocks=None, *, batch_size: int = 64) -> dict[str, float]:
    """Returns the error of a residual network without one of its blocks, for each block.

    Args:
        blocks: names of `blocks_of`; `None` takes all.

    Returns:
        `"whole"` -> the error of the network as it is, and name of a block -> the error without its branch.

    Raises:
        ValueError: for a network without residual blocks, or an unknown block.

    Source: Veit et al. 2016, https://arxiv.org/abs/1605.06431
    """
    names = _known(model, blocks)
    found = {"whole": _error(model, images, labels, set(), batch_size)}
    return found | {name: _error(model, images, labels, {name}, batch_size) for name in names}


def lesions(
    model: keras.Model, images, labels, counts, *, draws: int = 5, seed: int = 0, batch_size: int = 64
) -> dict[int, list[float]]:
    """Returns number of deleted blocks -> the errors of `draws` random choices of that many blocks.

    Source: Veit et al. 2016, https://arxiv.org/abs/1605.06431
    """
    names, generator = _known(model, None), np.random.default_rng(seed)
    return {
        count: [
            _error(model, images, labels, set(generator.permutation(names)[:count]), batch_size) for _ in range(draws)
        ]
        for count in counts
    }


def _known(model, blocks) -> list[str]:
    names = blocks_of(model)
    if not names:
        raise ValueError(f"A network with residual blocks is needed. Received: {described(model)}")
    if wrong := [name for name in blocks or () if name not in names]:
        raise ValueError(f"`blocks` should be names of residual additions, {', '.join(names)}. Received: {wrong[0]!r}")
    return list(blocks or names)


def _error(model, images, labels, deleted: set[str], batch_size: int) -> float:
    def seen(layer, output, *inputs):
        return keras.tree.flatten(inputs)[0] if layer.name in deleted else output

    return error_with(model, images, labels, seen, batch_size)


def error_with(model, images, labels, seen: Callable, batch_size: int) -> float:
    """Returns the error of a network in which `seen` takes part, as in `kerasnets.explain.network.logits_of`."""
    images, labels = checked(model, images)[0], np.asarray(labels)
    parts = batches(len(images), batch_size)
    found = [logits_of(model, tf.constant(images[part]), seen).numpy().argmax(axis=1) for part in parts]
    return float(np.mean(np.concatenate(found) != labels))
