"""Experiments on residual networks: delete blocks, or call them in another order.

Images are always (batch, height, width, channels), prepared as the model takes them; labels are numbers of classes.
Errors are shares of 1. `model` never keeps a change.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import batches, checked, logits_of
from kerasnets.graph.walk import described, opened_calls
from kerasnets.layers.stochastic_branch import StochasticBranch


def blocks_of(model: keras.Model) -> list[str]:
    """Returns the names of the layers that add a branch to its shortcut, in order.

    The shortcut is the input that fewer layers lead to; the first input if both have as many. In NASNet these are the
    sums of two branches inside the cells, not the cells.
    """
    return list(_blocks(model))


class _Block(NamedTuple):
    """A residual block.

    Attributes:
        shortcut: the number of the addition's input that is the shortcut.
        shape: of the shortcut.
        calls: those from the shortcut to the addition; none for a shortcut with layers of its own (a projection).
    """

    shortcut: int
    shape: tuple
    calls: list


def _blocks(model) -> dict[str, _Block]:
    calls = opened_calls(model)
    made, found = {id(call.outputs[0]): call for call in calls}, {}
    for call in calls:
        stochastic = isinstance(call.layer, StochasticBranch)
        if not stochastic and not (isinstance(call.layer, keras.layers.Add) and len(call.inputs) == 2):
            continue
        first, second = (_above(tensor, made) for tensor in call.inputs)
        number = int(not stochastic and len(second - first) < len(first - second))
        branch = (first - second if number else second - first) | {id(call.outputs[0])}
        own = [one for one in calls if id(one.outputs[0]) in branch]
        read = {id(tensor) for one in own for tensor in one.inputs}
        keeps = read <= branch | {id(call.inputs[number])}
        found[call.layer.name] = _Block(number, tuple(call.inputs[number].shape), own if keeps else [])
    return found


def _above(tensor, made: dict) -> set[int]:
    """Returns the ids of a tensor and of all tensors that it is computed from."""
    found, wanted = set(), [id(tensor)]
    while wanted:
        one = wanted.pop()
        if one not in found:
            found.add(one)
            wanted += [id(read) for read in made[one].inputs] if one in made else []
    return found


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
    known = _known(model, blocks)
    found = {"whole": _error(model, images, labels, {}, batch_size)}
    return found | {name: _error(model, images, labels, {name: block}, batch_size) for name, block in known.items()}


def lesions(
    model: keras.Model, images, labels, counts, *, draws: int = 5, seed: int = 0, batch_size: int = 64
) -> dict[int, list[float]]:
    """Returns number of deleted blocks -> the errors of `draws` random choices of that many blocks.

    Source: Veit et al. 2016, https://arxiv.org/abs/1605.06431
    """
    known, generator, found = _known(model, None), np.random.default_rng(seed), {count: [] for count in counts}
    for count in [count for count in found for _ in range(draws)]:
        deleted = {name: known[name] for name in generator.permutation(list(known))[:count]}
        found[count].append(_error(model, images, labels, deleted, batch_size))
    return found


class Shuffled(NamedTuple):
    """A network with its blocks in another order.

    Attributes:
        tau: Kendall's rank correlation of the order with the network's own, 1 for the same.
        error: the error in this order.
    """

    tau: float
    error: float


def shuffles(
    model: keras.Model, images, labels, counts, *, draws: int = 5, seed: int = 0, batch_size: int = 64
) -> dict[int, list[Shuffled]]:
    """Returns number of swaps -> the errors after `draws` random choices of that many swaps of two blocks.

    Blocks are swapped that keep the shape of their maps and have the same shape; those with a projection stay.

    Raises:
        ValueError: for a network that has no two such blocks.

    Source: Veit et al. 2016, section 4.3, https://arxiv.org/abs/1605.06431
    """
    from scipy.stats import kendalltau

    blocks, generator = _blocks(model), np.random.default_rng(seed)
    names, fits = list(blocks), {name: _must_fit(block) for name, block in blocks.items() if block.calls}
    pairs = [(one, other) for one, other in itertools.combinations(fits, 2) if fits[one] == fits[other]]
    if not pairs:
        raise ValueError(f"A network with two residual blocks of one shape is needed. Received: {described(model)}")
    found = {count: [] for count in counts}
    for count in [count for count in found for _ in range(draws)]:
        order = {name: name for name in names}
        for one, other in (pairs[number] for number in generator.integers(len(pairs), size=count)):
            order[one], order[other] = order[other], order[one]
        tau = kendalltau(range(len(names)), [names.index(name) for name in order.values()]).statistic
        moved = [zip(blocks[place].calls, blocks[name].calls, strict=True) for place, name in order.items()]
        instead = {own.layer: other.layer for pair in moved for own, other in pair}
        found[count].append(Shuffled(float(tau), error_with(model, images, labels, None, batch_size, instead)))
    return found


def _must_fit(block: _Block) -> tuple:
    """Returns what a block shares with each that can take its place: the shape, and which call reads which."""
    places = {id(call.outputs[0]): place for place, call in enumerate(block.calls)}
    return block.shape, [[places.get(id(tensor), -1) for tensor in call.inputs] for call in block.calls]


def _known(model, names) -> dict[str, _Block]:
    blocks = _blocks(model)
    if not blocks:
        raise ValueError(f"A network with residual blocks is needed. Received: {described(model)}")
    if wrong := [name for name in names or () if name not in blocks]:
        known = ", ".join(blocks)
        raise ValueError(f"`blocks` should be names of residual additions, {known}. Received: {wrong[0]!r}")
    return {name: blocks[name] for name in names or blocks}


def _error(model, images, labels, deleted: dict[str, _Block], batch_size: int) -> float:
    def seen(layer, output, *inputs):
        block = deleted.get(layer.name)
        return output if block is None else keras.tree.flatten(inputs)[block.shortcut]

    return error_with(model, images, labels, seen, batch_size)


def error_with(model, images, labels, seen: Callable | None, batch_size: int, instead: Mapping | None = None) -> float:
    """Returns the error of a network in which `seen` and `instead` take part; see `explain.network.logits_of`."""
    images, labels = checked(model, images)[0], np.asarray(labels)
    parts = batches(len(images), batch_size)
    found = [
        logits_of(model, tf.constant(images[part]), seen, instead=instead).numpy().argmax(axis=1) for part in parts
    ]
    return float(np.mean(np.concatenate(found) != labels))
