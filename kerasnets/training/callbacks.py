"""The callbacks of a run. `fit` calls them between steps, in the order of `make_callbacks`.

Reading a number from a GPU waits until the GPU has computed everything before it. So no callback reads one after every
step.
"""

import math

import keras
import tensorflow as tf

from kerasnets.distribution.strategy import cluster
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import append_log
from kerasnets.training.compressing import constraints_callbacks, quantize_callbacks
from kerasnets.training.job import Job, JobCallback, check_losses, save_checkpoint, variables
from kerasnets.training.private_api import retrace
from kerasnets.training.progress import MetricsLogger, ProgressBar
from kerasnets.training.stopping import StopRequest
from kerasnets.training.unfreezing import freeze_for_epoch, unfreezing_stage

# Steps between two readings of what a step notes: a bad loss, and whether another worker asks to stop. All workers read
# after the same steps.
READ_EVERY = 10


def make_callbacks(job: Job, metrics: dict | None, progress: bool, stop: StopRequest) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a run. Their order matters: the step is counted first and saved last.

    Args:
        metrics: the epoch's metrics at the checkpoint that the run continues from, if that is in the middle of one.
        progress: whether to show a progress bar.
        stop: says whether a signal asked the process to end.
    """
    return [
        *([UnfreezeCallback(job)] if job.recipe.freeze else []),
        *quantize_callbacks(job),
        StepCounter(job, metrics),
        *constraints_callbacks(job),
        StopOnBadLoss(job),
        StopWhenAsked(job, stop),
        SwapAverages(job),
        BestAndEarlyStopping(job),
        *([ProgressBar(job)] if progress and cluster().is_chief else []),
        *([MetricsLogger(job)] if cluster().is_chief else []),
        *job.callbacks,
        CheckpointCallback(job),
    ]


def plain_callbacks(job: Job) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of `prepare`: what a recipe asks for, and nothing that writes a file."""
    return [
        *([UnfreezeCallback(job)] if job.recipe.freeze else []),
        *quantize_callbacks(job),
        StepCounter(job, None),
        *constraints_callbacks(job),
        *([SwapAverages(job)] if job.trainer.averages else []),
        BestAndEarlyStopping(job),
    ]


def reads(job: Job) -> bool:
    """Whether what a step notes is read after this call of the training function."""
    step = job.state.step
    return step % job.steps_per_epoch == 0 or step % READ_EVERY < job.trainer.steps_per_execution


class UnfreezeCallback(JobCallback):
    """Freezes and unfreezes layers by the epoch alone, so that a resumed run is frozen as an uninterrupted one."""

    def __init__(self, job):
        super().__init__(job)
        self.stage = None

    def on_epoch_begin(self, epoch, logs=None):
        options, trainer = self.job.recipe.freeze, self.job.trainer
        stage = unfreezing_stage(options, epoch)
        if stage is self.stage:
            return
        self.stage, frozen = stage, freeze_for_epoch(trainer.network, options, epoch)
        retrace(trainer)  # the optimizer knows the weights of all stages; the step is traced for those of this one
        trained = sum(v.shape.num_elements() for v in (w.value for w in trainer.trainable_variables))
        append_log(self.job.folder, "stage", epoch=epoch + 1, frozen_layers=len(frozen), trained_parameters=trained)


class StepCounter(JobCallback):
    """Keeps `state.step`, the number of batches that the run was trained on."""

    def __init__(self, job, metrics):
        super().__init__(job)
        self.metrics = metrics
        self.base = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.base = self.state.step
        if self.metrics:  # the epoch continues in its middle, and so do its mean loss and accuracy
            checkpoints.write_variables({"metric": variables(self.job)["metric"]}, self.metrics)
            self.metrics = None

    def on_train_batch_end(self, batch, logs=None):
        self.state.step = self.base + batch + 1


class StopOnBadLoss(JobCallback):
    """Ends the run at a loss that is NaN or infinite, a few steps after it and before a checkpoint is written."""

    def on_train_batch_end(self, batch, logs=None):
        if reads(self.job):
            check_losses(self.job)


class StopWhenAsked(JobCallback):
    """Writes a checkpoint and ends the run when a signal asked this process, or that of any worker, to end."""

    def __init__(self, job, stop):
        super().__init__(job)
        self.stop = stop

    def on_train_batch_end(self, batch, logs=None):
        votes = self.job.trainer.stop_votes
        if votes is not None and self.stop.signal:  # the next step tells the other workers
            self.job.trainer.stop_vote.assign(1.0)
        if self.stop.signal if votes is None else reads(self.job) and float(votes.numpy()) > 0:
            self._end()

    def on_test_begin(self, logs=None):
        # An evaluation changes the metrics, and `SwapAverages` the weights: a checkpoint must hold the former values.
        self.kept = checkpoints.read_variables(variables(self.job))

    def on_test_batch_end(self, batch, logs=None):
        # Several workers stop only after a step: without one they cannot tell one another.
        if self.stop.signal and self.job.trainer.stop_votes is None:
            self._end(self.kept)

    def on_test_end(self, logs=None):
        self.kept = None

    def _end(self, tensors=None):
        save_checkpoint(self.job, tensors)
        self.job.writer.wait()
        append_log(self.job.folder, "stopped", step=self.state.step)
        raise self.stop.error(f"the checkpoint of step {self.state.step} is written")


class SwapAverages(JobCallback):
    """Replaces the weights by their moving averages while the network is evaluated."""

    def on_test_begin(self, logs=None):
        weights = self.job.trainer.network.weights if self.job.trainer.averages else []
        self.kept = [tf.identity(w.value) for w in weights]
        for weight, average in zip(weights, self.job.trainer.averages, strict=True):
            weight.assign(tf.cast(average, weight.dtype))

    def on_test_end(self, logs=None):
        for weight, kept in zip(self.job.trainer.network.weights, self.kept, strict=False):
            weight.assign(kept)


class BestAndEarlyStopping(JobCallback):
    """Keeps the best weights, lowers the learning rate on a plateau, and stops a run that no longer improves."""

    def on_epoch_end(self, epoch, logs=None):
        rules, schedule = self.job.recipe.evaluation, self.job.recipe.schedule
        value = logs.get(rules.monitor)
        if quantize := self.job.recipe.quantize:  # an epoch before the rounding says nothing about the epochs with it
            value = value if epoch >= quantize.from_epoch else None
        if value is not None:
            better = _is_better(value, self.state.best, rules.monitor)
            self.state.stale = 0 if better else self.state.stale + 1
            if better:
                self.state.best, self.state.best_epoch = float(value), self.job.epoch
                if self.job.recipe.keep == "best":
                    self._save_best()
            if rules.patience and self.state.stale >= rules.patience:
                self.state.stopped = self.model.stop_training = True
        if schedule.name == "plateau" and logs.get(schedule.monitor) is not None:
            self._lower_rate_on_plateau(logs[schedule.monitor], schedule)

    def _save_best(self):
        _save_weights(self.job, "best", {"epoch": self.state.best_epoch, "value": self.state.best})

    def _lower_rate_on_plateau(self, value, schedule):
        better = _is_better(value, self.state.plateau_best, schedule.monitor)
        self.state.plateau_best = float(value) if better else self.state.plateau_best
        self.state.plateau_stale = 0 if better else self.state.plateau_stale + 1
        if self.state.plateau_stale >= schedule.patience:
            lowest = schedule.minimum / self.job.recipe.optimizer.learning_rate
            self.job.schedule.scale.assign(max(float(self.job.schedule.scale.numpy()) * schedule.factor, lowest))
            self.state.plateau_stale = 0


def _save_weights(job: Job, name: str, facts: dict) -> None:
    """Begins to write the weights of the network, without the state of the optimizer, as a checkpoint of that name."""
    if not cluster().is_chief:
        return
    tensors = {f"weights/{i:04d}": v.numpy() for i, v in enumerate(job.trainer.inference_weights())}
    job.writer.save(job.folder / "checkpoints", name, tensors, {"step": job.state.step} | facts)


def _is_better(value, best, monitor) -> bool:
    value = float(value)
    if not math.isfinite(value):
        return False
    return best is None or (value > best if monitor.endswith("top1") else value < best)


class CheckpointCallback(JobCallback):
    """Writes the `last` checkpoint after every epoch, and what else the recipe asks for."""

    def on_epoch_begin(self, epoch, logs=None):
        self.saved = self.state.step

    def on_train_batch_end(self, batch, logs=None):
        self.job.writer.check()
        every = self.job.recipe.checkpoint.every_steps
        if every and self.state.step // every > self.saved // every and self.state.step % self.job.steps_per_epoch:
            save_checkpoint(self.job)
            self.saved = self.state.step

    def on_epoch_end(self, epoch, logs=None):
        self.state.judged = self.job.epoch
        save_checkpoint(self.job)
        self.saved = self.state.step
        if self.job.epoch in self.job.recipe.checkpoint.keep_epochs:
            paths = [weight.path for weight in self.job.trainer.network.weights]
            _save_weights(self.job, f"epoch{self.job.epoch:04d}", {"epoch": self.job.epoch, "paths": paths})
