"""Staged unfreezing: which part of the network each epoch of a recipe trains, and the weights that it starts from."""

import warnings

import keras
import numpy as np

from kerasnets.graph.freeze import freeze
from kerasnets.graph.walk import classifiers
from kerasnets.registry import get_variant
from kerasnets.runs.folder import append_log
from kerasnets.training.initial_weights import copy_layers
from kerasnets.weights.load import load_initial_weights


def load_start(network: keras.Model, recipe):
    """Loads `model.arguments.weights` into a network; returns the report, or `None` where the recipe has none.

    A classifier for other classes than the checkpoint's begins at zero, where all classes are equally likely: the
    initial values of a row are made for as many classes as its paper has, and ten of them give losses around 20. Then
    takes over the layers that `model.start` names.
    """
    row, arguments, report = get_variant(recipe.model.name), recipe.model.arguments, None
    if (weights := arguments.get("weights")) is not None:
        extras = {key: value for key, value in arguments.items() if key in row.extras}
        # Not the convolutions with ReLU behind them of SqueezeNet and NiN: at zero they would have no gradient.
        last = classifiers(network)
        named = [layer for layer in network.layers if layer.name in last]
        heads = {layer: layer.kernel.numpy() for layer in named if isinstance(layer, keras.layers.Dense)}
        numbers = network.preprocessing
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is left at initial values stands in the run's log
            report = load_initial_weights(network, row, weights, True, extras)
        network.preprocessing = numbers  # the recipe may change the checkpoint's
        for layer, before in heads.items():
            if (layer.kernel.numpy() == before).all():
                layer.kernel.assign(np.zeros_like(before))
    if recipe.model.start:
        copy_layers(network, recipe.model.start)
    return report


def stage_of(options, epoch: int):
    """Returns the stage of the `freeze` block that an epoch (from 0) belongs to."""
    return [stage for stage in options.stages if stage.from_epoch <= epoch][-1]


def enter(network: keras.Model, options, epoch: int) -> tuple[str, ...]:
    """Freezes what the stage of an epoch freezes, and returns the names of those layers."""
    return freeze(network, stage_of(options, epoch).upto, batch_norm=options.batch_norm)


def first_epochs(network: keras.Model, options) -> tuple[list, list[int]]:
    """Returns all variables that are trained at some time, and for each the epoch from which on it is.

    Leaves the network in its first stage.

    Raises:
        ValueError: the block names a layer that the network does not have, or leaves nothing to train.
    """
    if options is None:
        return network.trainable_variables, [0] * len(network.trainable_variables)
    begun = {}
    for stage in options.stages:
        enter(network, options, stage.from_epoch)
        for variable in network.trainable_variables:
            begun.setdefault(variable.path, stage.from_epoch)
    variables = [v for v in network.weights if v.path in begun]
    enter(network, options, 0)
    if not network.trainable_variables:
        raise ValueError(f"The first stage of `freeze` leaves nothing to train. Received: {options.stages[0].upto!r}")
    return variables, [begun[v.path] for v in variables]


class UnfreezeCallback(keras.callbacks.Callback):
    """Goes from stage to stage; which one is decided by the epoch alone, so that a resumed run finds its own."""

    def __init__(self, job):
        super().__init__()
        self.job, self.stage = job, None

    def on_epoch_begin(self, epoch, logs=None):
        options, trainer = self.job.recipe.freeze, self.job.trainer
        stage = stage_of(options, epoch)
        if stage is self.stage:
            return
        self.stage, frozen = stage, enter(trainer.network, options, epoch)
        # The step is traced again for the weights of this stage; the optimizer knows those of all stages. Keras
        # compares with what was trainable when the model was compiled, and would warn.
        vars(trainer).pop("_compiled_trainable_state", None)
        trainer.make_train_function(force=True)
        trained = sum(v.shape.num_elements() for v in (w.value for w in trainer.trainable_variables))
        append_log(self.job.folder, "stage", epoch=epoch + 1, frozen_layers=len(frozen), trained_parameters=trained)
