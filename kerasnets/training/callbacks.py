"""The callbacks of a run. `fit` calls them between steps, in the order of `make_callbacks`."""

import math
import time

import keras
import rich
import rich.progress
import tensorflow as tf

from kerasnets.distribution.strategy import cluster
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import Scalars, append_log
from kerasnets.training.job import Job, log_bad_images, save_checkpoint, variables
from kerasnets.training.private_api import retrace
from kerasnets.training.stopping import StopRequest, not_finite
from kerasnets.training.unfreezing import freeze_for_epoch, unfreezing_stage

# Loss scaling halves its scale at each step that it skips. After so many in a row no smaller scale is left to try.
INFINITE_STEPS = 30
# What the line of an epoch shows.
SHOWN = ("loss", "top1", "val_loss", "val_top1", "learning_rate", "images_per_second")


def make_callbacks(job: Job, metrics: dict | None, progress: bool, stop: StopRequest) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a run. Their order matters: the step is counted first and saved last.

    Args:
        metrics: the epoch's metrics at the checkpoint that the run continues from, if that is in the middle of one.
        progress: whether to show a progress bar.
        stop: says whether a signal asked the process to end.
    """
    return [
        *([UnfreezeCallback(job)] if job.recipe.freeze else []),
        StepCounter(job, metrics),
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
        StepCounter(job, None),
        *([SwapAverages(job)] if job.trainer.averages else []),
        BestAndEarlyStopping(job),
    ]


class _Callback(keras.callbacks.Callback):
    def __init__(self, job: Job):
        super().__init__()
        self.job = job
        self.state = job.state


class UnfreezeCallback(_Callback):
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


class StepCounter(_Callback):
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


class StopOnBadLoss(_Callback):
    """Ends the run at the first loss that is NaN or infinite, before a checkpoint is written."""

    def on_epoch_begin(self, epoch, logs=None):
        self.checked = self.state.step

    def on_train_batch_end(self, batch, logs=None):
        loss, step = float(logs["loss"]), self.state.step
        if not math.isfinite(loss):
            raise not_finite(self.job, f"The loss is {loss}", self.checked + 1, step)
        if self.model.scales_loss and (count := int(self.model.infinite_steps.numpy())) >= INFINITE_STEPS:
            raise not_finite(self.job, f"The loss was infinite in {count} steps in a row, the last of them", step, step)
        self.checked = step


class StopWhenAsked(_Callback):
    """Writes a checkpoint and ends the run when a signal asked this process, or that of any worker, to end."""

    def __init__(self, job, stop):
        super().__init__(job)
        self.stop = stop

    def on_train_batch_end(self, batch, logs=None):
        if self._asked():
            self._end()

    def on_test_begin(self, logs=None):
        # An evaluation changes the metrics, and `SwapAverages` the weights: a checkpoint must hold the former values.
        self.kept = checkpoints.read_variables(variables(self.job))

    def on_test_batch_end(self, batch, logs=None):
        if self._asked():
            self._end(self.kept)

    def on_test_end(self, logs=None):
        self.kept = None

    def _asked(self):
        trainer = self.job.trainer
        if trainer.stop_votes is None:
            return bool(self.stop.signal)
        if self.stop.signal:  # the next step tells the other workers, so that all stop after the same one
            trainer.stop_vote.assign(1.0)
        return float(trainer.stop_votes.numpy()) > 0

    def _end(self, tensors=None):
        save_checkpoint(self.job, tensors)
        append_log(self.job.folder, "stopped", step=self.state.step)
        raise self.stop.error(f"the checkpoint of step {self.state.step} is written")


class SwapAverages(_Callback):
    """Replaces the weights by their moving averages while the network is evaluated."""

    def on_test_begin(self, logs=None):
        weights = self.job.trainer.network.weights if self.job.trainer.averages else []
        self.kept = [tf.identity(w.value) for w in weights]
        for weight, average in zip(weights, self.job.trainer.averages, strict=True):
            weight.assign(tf.cast(average, weight.dtype))

    def on_test_end(self, logs=None):
        for weight, kept in zip(self.job.trainer.network.weights, self.kept, strict=False):
            weight.assign(kept)


class BestAndEarlyStopping(_Callback):
    """Keeps the best weights, lowers the learning rate on a plateau, and stops a run that no longer improves."""

    def on_epoch_end(self, epoch, logs=None):
        rules, schedule = self.job.recipe.evaluation, self.job.recipe.schedule
        value = logs.get(rules.monitor)
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
        if not cluster().is_chief:
            return
        tensors = {f"weights/{i:04d}": v.numpy() for i, v in enumerate(self.job.trainer.inference_weights())}
        state = {"step": self.state.step, "epoch": self.state.best_epoch, "value": self.state.best}
        checkpoints.save(self.job.folder / "checkpoints", "best", tensors, state)

    def _lower_rate_on_plateau(self, value, schedule):
        better = _is_better(value, self.state.plateau_best, schedule.monitor)
        self.state.plateau_best = float(value) if better else self.state.plateau_best
        self.state.plateau_stale = 0 if better else self.state.plateau_stale + 1
        if self.state.plateau_stale >= schedule.patience:
            lowest = schedule.minimum / self.job.recipe.optimizer.learning_rate
            self.job.schedule.scale.assign(max(float(self.job.schedule.scale.numpy()) * schedule.factor, lowest))
            self.state.plateau_stale = 0


def _is_better(value, best, monitor) -> bool:
    value = float(value)
    if not math.isfinite(value):
        return False
    return best is None or (value > best if monitor.endswith("top1") else value < best)


class ProgressBar(_Callback):
    """Shows a bar over the steps of an epoch, and prints one line at its end."""

    def __init__(self, job):
        super().__init__(job)
        self.bar = None

    def on_train_begin(self, logs=None):
        columns = ("{task.description}", rich.progress.BarColumn(), "{task.completed}/{task.total}")
        end = (rich.progress.TimeRemainingColumn(), "{task.fields[numbers]}")
        console = rich.get_console()
        # Output to a file or a pipe gets only the lines.
        self.bar = rich.progress.Progress(*columns, *end, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("", total=self.job.steps_per_epoch, numbers="")
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        done = self.state.step % self.job.steps_per_epoch
        text = f"epoch {epoch + 1}/{self.job.recipe.epochs}"
        self.bar.update(self.task, completed=done, description=text, numbers="")

    def on_train_batch_end(self, batch, logs=None):
        done = (self.state.step - 1) % self.job.steps_per_epoch + 1
        self.bar.update(self.task, completed=done, numbers=f"loss {float(logs['loss']):.4f}")

    def on_epoch_end(self, epoch, logs=None):
        shown = {name: float(logs[name]) for name in SHOWN if name in logs}
        numbers = "  ".join(f"{k} {v:.2%}" if k.endswith("top1") else f"{k} {v:.4g}" for k, v in shown.items())
        self.bar.print(f"epoch {epoch + 1}/{self.job.recipe.epochs}  {numbers}")

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Removes the bar from the terminal; to be called after an error too."""
        if self.bar:
            self.bar.stop()


class MetricsLogger(_Callback):
    """Writes the numbers of each epoch to log.jsonl and to TensorBoard, and logs images that could not be decoded."""

    def __init__(self, job):
        super().__init__(job)
        self.scalars = Scalars(job.folder / "tensorboard")

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = self.trained = time.perf_counter()
        self.first = self.state.step
        self.rate = float(keras.ops.convert_to_numpy(self.job.trainer.optimizer.learning_rate))

    def on_train_batch_end(self, batch, logs=None):
        self.trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        images = (self.state.step - self.first) * self.job.recipe.batch_size
        logs.update(
            learning_rate=self.rate,
            seconds=round(time.perf_counter() - self.begun, 3),
            images_per_second=round(images / max(self.trained - self.begun, 1e-9), 1),
        )
        values = {key: float(f"{float(value):.7g}") for key, value in logs.items()}
        append_log(self.job.folder, "epoch", epoch=self.job.epoch, step=self.state.step, **values)
        self.scalars.write(values, self.state.step)
        log_bad_images(self.job)

    def on_train_end(self, logs=None):
        log_bad_images(self.job)


class CheckpointCallback(_Callback):
    """Writes the `last` checkpoint after every epoch, and every N steps if the recipe says so."""

    def on_epoch_begin(self, epoch, logs=None):
        self.saved = self.state.step

    def on_train_batch_end(self, batch, logs=None):
        every = self.job.recipe.checkpoint.every_steps
        if every and self.state.step // every > self.saved // every and self.state.step % self.job.steps_per_epoch:
            save_checkpoint(self.job)
            self.saved = self.state.step

    def on_epoch_end(self, epoch, logs=None):
        self.state.judged = self.job.epoch
        save_checkpoint(self.job)
        self.saved = self.state.step
