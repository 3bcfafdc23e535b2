"""What the recipe's compression blocks do to a network and to its training."""

import keras

from kerasnets.compression.quantization import freeze_statistics, quantization_aware, set_rounding
from kerasnets.compression.quantization_bias import round_biases
from kerasnets.recipe.schema import Recipe
from kerasnets.runs.folder import append_log
from kerasnets.training.job import JobCallback
from kerasnets.training.private_api import retrace
from kerasnets.training.unfreezing import unfreezing_stage


def compressed(network: keras.Model, recipe: Recipe) -> keras.Model:
    """Returns a network that was just built with what the recipe's compression adds to it, weights of its own."""
    if recipe.quantize:
        network = quantization_aware(network, keep_float=recipe.quantize.keep_float)
    return network


def finished(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Returns a trained model as it is kept: after training with quantisation its biases are those of the file."""
    if recipe.quantize:
        round_biases(model)
    return model


def quantize_callbacks(job) -> list[keras.callbacks.Callback]:
    """Returns the callback of the block `quantize`. It is called after the one that unfreezes layers."""
    return [QuantizeCallback(job)] if job.recipe.quantize else []


def constraints_callbacks(job) -> list[keras.callbacks.Callback]:
    """Returns the callback of the blocks `prune` and `share`. It is called after the one that counts the steps."""
    return [ConstraintsCallback(job)] if job.trainer.constraints else []


class QuantizeCallback(JobCallback):
    """Switches rounding on and freezes batch norm, by the epoch alone; so a resumed run does what a whole one does."""

    def __init__(self, job):
        super().__init__(job)
        self.stage = None

    def on_epoch_begin(self, epoch, logs=None):
        options, trainer = self.job.recipe.quantize, self.job.trainer
        rounding = epoch >= options.from_epoch
        frozen = options.freeze_batch_norm_from is not None and epoch >= options.freeze_batch_norm_from
        unfrozen = self.job.recipe.freeze and unfreezing_stage(self.job.recipe.freeze, epoch)
        if (rounding, frozen, unfrozen) == self.stage:
            return
        self.stage = (rounding, frozen, unfrozen)
        set_rounding(trainer.network, rounding)
        if frozen:
            freeze_statistics(trainer.network)
        retrace(trainer)
        trainer.make_test_function(force=True)
        if self.job.folder:
            append_log(self.job.folder, "quantize", epoch=epoch + 1, rounding=rounding, batch_norm_frozen=frozen)


class ConstraintsCallback(JobCallback):
    """Prunes and shares weights at the steps that the recipe says; see `compression.constraints`."""

    def on_train_begin(self, logs=None):
        if self.state.step == 0:
            self._update()

    def on_train_batch_end(self, batch, logs=None):
        self._update()

    def _update(self):
        done = self.job.trainer.constraints.update(self.state.step, self.job.trainer.averages)
        if done and self.job.folder is not None:
            append_log(self.job.folder, "compression", step=self.state.step, change=done)
