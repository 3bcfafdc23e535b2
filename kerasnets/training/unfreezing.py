"""Gradual unfreezing: which layers each epoch trains, as the stages of a recipe's `freeze` block say."""

import keras

from kerasnets.graph.freeze import freeze


def unfreezing_stage(options, epoch: int):
    """Returns the stage of the `freeze` block that an epoch (from 0) belongs to."""
    return [stage for stage in options.stages if stage.from_epoch <= epoch][-1]


def freeze_for_epoch(network: keras.Model, options, epoch: int) -> tuple[str, ...]:
    """Freezes what the stage of an epoch (from 0) freezes, and returns the names of those layers."""
    return freeze(network, unfreezing_stage(options, epoch).upto, batch_norm=options.batch_norm)


def trained_variables(network: keras.Model, options) -> tuple[list, list[int]]:
    """Returns all variables that some epoch trains, and for each variable the first epoch that does.

    Leaves the network frozen as in epoch 0. Without a `freeze` block (`None`) nothing is frozen.

    Raises:
        ValueError: the block names a layer that the network does not have, or epoch 0 has nothing to train.
    """
    if options is None:
        return network.trainable_variables, [0] * len(network.trainable_variables)
    first_epochs = {}
    for stage in options.stages:
        freeze_for_epoch(network, options, stage.from_epoch)
        for variable in network.trainable_variables:
            first_epochs.setdefault(variable.path, stage.from_epoch)
    variables = [v for v in network.weights if v.path in first_epochs]
    freeze_for_epoch(network, options, 0)
    if not network.trainable_variables:
        raise ValueError(f"The first stage of `freeze` leaves nothing to train. Received: {options.stages[0].upto!r}")
    return variables, [first_epochs[v.path] for v in variables]
