"""Keep weights pruned and shared while a network trains, under any optimizer.

After each step the kernels, and their moving averages, are brought back to what the recipe's blocks `prune` and `share`
allow: pruned weights become zero, and the weights of a cluster their mean. Masks and clusters are variables of the run
and stand in its checkpoints. They change between two steps, by the number of steps alone, so that a resumed run changes
them as an uninterrupted one does.
"""

import fnmatch

import numpy as np
import tensorflow as tf

from kerasnets.compression.calibration import kernels
from kerasnets.compression.pruning import masks, scheduled_sparsity, value_for
from kerasnets.compression.sharing import cluster, nearest, over_clusters
from kerasnets.distribution.replicas import update_everywhere
from kerasnets.recipe.read import named_key


class Constraints:
    """What the blocks `prune` and `share` of a recipe do to a network. Build it under the strategy's scope.

    Args:
        network: the network.
        prune, share: the blocks, or `None`.
        steps_per_epoch, epochs: of the run.
        execution: the steps of one call of `fit`. Masks and clusters change between calls.

    Raises:
        ValueError: a pattern that no layer has.
    """

    def __init__(self, network, prune, share, *, steps_per_epoch: int, epochs: int, execution: int):
        self.prune, self.share = prune, share
        targets = kernels(network)
        self.names = list(targets)  # a separable convolution has two kernels, so these are not names of layers
        self.layers = [target.layer.name for target in targets.values()]
        self.kernels = [target.variable for target in targets.values()]
        self.places = [next(i for i, w in enumerate(network.weights) if w is kernel) for kernel in self.kernels]
        for block in filter(None, (prune, share)):
            _check_patterns(block.layers, self.layers)
        # Of each kernel: its mask, the cluster of each weight, and the number of clusters, 0 before they are formed.
        self.states = [_state(kernel, prune, share) for kernel in self.kernels]
        self.first = self.last = self.every = self.share_at = None
        if prune:
            last = epochs if prune.to_epoch is None else prune.to_epoch
            self.first, self.last = (
                _multiple(epoch * steps_per_epoch, execution) for epoch in (prune.from_epoch, last)
            )
            self.every = max(_multiple(prune.every_epochs * steps_per_epoch, execution), execution)
        if share:
            self.share_at = _multiple(share.from_epoch * steps_per_epoch, execution)

    @property
    def variables(self) -> list:
        """The state, for checkpoints."""
        return [variable for state in self.states for variable in state.values()]

    def gradients(self, gradients: list, variables: list) -> list:
        """Returns gradients in which each weight of a cluster has the sum over its cluster (Han et al. 2016)."""
        if not self.share or self.share.gradient == "mean":
            return gradients
        states = {kernel.path: state for kernel, state in zip(self.kernels, self.states, strict=True)}
        return [
            over_clusters(tf.math.unsorted_segment_sum, g, **states[v.path]) if v.path in states else g
            for g, v in zip(gradients, variables, strict=True)
        ]

    def apply(self, averages: list) -> None:
        """Brings the kernels, and their averages if there are any, back to what is allowed. Part of a step."""
        if self.kernels:
            update_everywhere(_allow, *self._held(averages))

    def _held(self, averages: list) -> tuple[list, list]:
        held = [kernel.value for kernel in self.kernels]
        return (held + [averages[place] for place in self.places], self.states * 2) if averages else (held, self.states)

    def update(self, step: int, averages: list) -> str | None:
        """Changes masks and clusters after `step` steps if it is time, and says so for the log; else `None`."""
        done = []
        if self.prune and (step == self.last or step in range(self.first, self.last, self.every)):
            done.append(self._prune(step))
            self._keep(averages)
        if self.share and step == self.share_at:
            done.append(self._share())
            self._keep(averages)
        return "; ".join(done) or None

    def _keep(self, averages: list) -> None:
        """Brings kernels and averages back to what is allowed, between two steps."""
        for variable, state in zip(*self._held(averages), strict=True):
            variable.assign(_allowed(tf.convert_to_tensor(variable), state))

    def _prune(self, step: int) -> str:
        weights = {name: kernel.numpy() for name, kernel in zip(self.names, self.kernels, strict=True)}
        wanted = {}
        for name, layer in zip(self.names, self.layers, strict=True):
            final = value_for(layer, self.prune.sparsity, self.prune.layers)
            wanted[name] = scheduled_sparsity(step, self.first, self.last, final, min(self.prune.initial, final))
        found = masks(weights, wanted, self.prune.scope)
        for name, state in zip(self.names, self.states, strict=True):
            state["mask"].assign(found[name])
        kept = sum(float(mask.sum()) for mask in found.values()) / sum(mask.size for mask in found.values())
        return f"pruned: {100 * kept:.2f} % of the kernels' weights stay"

    def _share(self) -> str:
        for layer, kernel, state in zip(self.layers, self.kernels, self.states, strict=True):
            values, bits = kernel.numpy(), value_for(layer, self.share.bits, self.share.layers)
            codebook = cluster(values, 2**bits, start=self.share.start, steps=50)
            if len(codebook):
                state["members"].assign(np.where(values == 0, 0, nearest(values, codebook)).astype(np.int32))
            state["clusters"].assign(len(codebook) + 1)
        return f"shared: codebooks of at most {2**self.share.bits} numbers"


def constraints_of(recipe, network, steps_per_epoch: int, execution: int) -> Constraints | None:
    """Returns what the blocks `prune` and `share` of a recipe do to a network; `None` without them."""
    if not recipe.prune and not recipe.share:
        return None
    length = {"steps_per_epoch": steps_per_epoch, "epochs": recipe.epochs, "execution": execution}
    with named_key("prune.layers or share.layers"):
        return Constraints(network, recipe.prune, recipe.share, **length)


def _check_patterns(layers: dict, names: list[str]) -> None:
    for pattern in layers:
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"The layers with kernels are {', '.join(names[:30])}. Received: {pattern!r}")


def _multiple(steps: float, execution: int) -> int:
    return round(steps / execution) * execution


def _state(kernel, prune, share) -> dict:
    first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    state = {"mask": np.ones(kernel.shape, np.float32)} if prune else {}
    state |= {"members": np.zeros(kernel.shape, np.int32), "clusters": np.int32(0)} if share else {}
    return {name: tf.Variable(value, trainable=False, aggregation=first) for name, value in state.items()}


def _allow(variable, state: dict) -> None:
    variable.assign(_allowed(tf.convert_to_tensor(variable), state))


def _allowed(values, state: dict):
    if "mask" in state:
        values = values * tf.cast(state["mask"], values.dtype)
    return over_clusters(tf.math.unsorted_segment_mean, values, **state) if "members" in state else values
