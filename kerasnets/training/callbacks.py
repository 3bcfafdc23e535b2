"""What happens between steps: the run's state, and the callbacks that `fit` calls in the order of `make_callbacks`."""

import dataclasses
import math
import time

import keras
import tensorflow as tf

from kerasnets.distribution.strategy import cluster
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import Scalars, append_log
from kerasnets.training.finetune import UnfreezeCallback
from kerasnets.training.progress import ProgressBar
from kerasnets.training.stopping import StopRequest, check_infinite_steps, check_loss, check_weights


@dataclasses.dataclass
class State:
    """Where a run is, apart from its variables; saved in every checkpoint as JSON."""

    step: int = 0
    judged: int = 0  # epochs that were evaluated, or needed no evaluation
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    plateau_best: float | None = None
    plateau_stale: int = 0
    stopped: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """What the callbacks of one run share."""

    recipe: object
    trainer: keras.Model
    schedule: object
    source: object
    evaluation_source: object
    steps_per_epoch: int
    folder: object
    state: State
    loaded: object = None  # the report of the weights that the run starts from
    validation_source: object = None  # what the best epoch is chosen on, where it is not the evaluation split

    @property
    def sources(self) -> dict:
        """The open splits by the use that they are put to."""
        found = {"training": self.source, "validation": self.validation_source, "evaluation": self.evaluation_source}
        return {use: source for use, source in found.items() if source}


def variables(job: Job) -> dict[str, list]:
    """Returns every variable that decides how a run goes on, by group."""
    groups = {
        "network": job.trainer.network.variables,
        "optimizer": job.trainer.optimizer.variables,
        "average": job.trainer.averages,
        "schedule": [job.schedule.scale] if job.schedule.scale is not None else [],
        "metric": [v for tracker in job.trainer.trackers for v in tracker.variables],
    }
    return {name: group for name, group in groups.items() if group}


def save(job: Job, tensors: dict | None = None) -> None:
    """Writes the `last` checkpoint, of the variables as they are or of `tensors`; only the chief does.

    Raises:
        RuntimeError: the weights are no numbers; the checkpoint before it stays.
        OSError: it could not be written; the same.
    """
    if tensors is None:
        job.trainer.average_statistics()
        tensors = checkpoints.read_variables(variables(job))
    check_weights(job, tensors, job.state.step)
    if cluster().is_chief:
        checkpoints.save(job.folder / "checkpoints", "last", tensors, dataclasses.asdict(job.state))


def make_callbacks(job: Job, metrics: dict | None, progress: bool, wish: StopRequest) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a run, in the order that they rely on.

    Args:
        metrics: the tensors of the checkpoint that the run goes on from, for an epoch in the middle of which it was.
        progress: whether to show a progress bar.
        wish: says whether the process was asked to end.
    """
    bar = [ProgressBar(job)] if progress else []
    writers = [*bar, MetricsLogger(job)] if cluster().is_chief else []
    thaw = [UnfreezeCallback(job)] if job.recipe.freeze else []
    judges = [StopOnBadLoss(job), StopWhenAsked(job, wish), SwapAverages(job), BestAndEarlyStopping(job)]
    return [*thaw, StepCounter(job, metrics), *judges, *writers, Save(job)]


class _Callback(keras.callbacks.Callback):
    def __init__(self, job: Job):
        super().__init__()
        self.job = job
        self.state = job.state


class StepCounter(_Callback):
    """Keeps `state.step`, the number of batches that were trained on."""

    def __init__(self, job, metrics):
        super().__init__(job)
        self.metrics = metrics
        self.base = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.base = self.state.step
        if self.metrics:  # an epoch that goes on where it was: its means go on too
            checkpoints.write_variables({"metric": variables(self.job)["metric"]}, self.metrics)
            self.metrics = None

    def on_train_batch_end(self, batch, logs=None):
        self.state.step = self.base + batch + 1


class StopOnBadLoss(_Callback):
    """Ends the run at the first loss that is no number, before a checkpoint of it is written."""

    def on_epoch_begin(self, epoch, logs=None):
        self.checked = self.state.step

    def on_train_batch_end(self, batch, logs=None):
        check_loss(self.job, float(logs["loss"]), self.checked + 1, self.state.step)
        if self.model.scales_loss:
            check_infinite_steps(self.job, int(self.model.infinite_steps.numpy()), self.state.step)
        self.checked = self.state.step


class StopWhenAsked(_Callback):
    """Writes a checkpoint and ends the run when the process, or that of any worker, was asked to end."""

    def __init__(self, job, wish):
        super().__init__(job)
        self.wish = wish

    def on_train_batch_end(self, batch, logs=None):
        if self._asked():
            self._stop()

    def on_test_begin(self, logs=None):
        # What evaluation changes (the means, and the weights in whose place averages are put) as it was before.
        self.kept = checkpoints.read_variables(variables(self.job))

    def on_test_batch_end(self, batch, logs=None):
        if self._asked():
            self._stop(self.kept)

    def on_test_end(self, logs=None):
        self.kept = None

    def _asked(self):
        trainer = self.job.trainer
        if trainer.stop_votes is None:
            return bool(self.wish.asked)
        if self.wish.asked:  # the next step tells the other workers, so that all stop after the same one
            trainer.stop_wish.assign(1.0)
        return float(trainer.stop_votes.numpy()) > 0

    def _stop(self, tensors=None):
        save(self.job, tensors)
        append_log(self.job.folder, "stopped", step=self.state.step)
        raise self.wish.stopped(f"the checkpoint of step {self.state.step} is written")


class SwapAverages(_Callback):
    """Puts the moving averages in the place of the weights while the network is evaluated."""

    def on_test_begin(self, logs=None):
        weights = self.job.trainer.network.weights if self.job.trainer.averages else []
        self.kept = [tf.identity(w.value) for w in weights]
        for weight, average in zip(weights, self.job.trainer.averages, strict=True):
            weight.assign(tf.cast(average, weight.dtype))

    def on_test_end(self, logs=None):
        for weight, kept in zip(self.job.trainer.network.weights, self.kept, strict=False):
            weight.assign(kept)


class BestAndEarlyStopping(_Callback):
    """Keeps the best weights, lowers the rate on a plateau, and stops a run that no longer improves."""

    def on_epoch_end(self, epoch, logs=None):
        rules, schedule = self.job.recipe.evaluation, self.job.recipe.schedule
        value = logs.get(rules.monitor)
        if value is not None:
            better = _better(value, self.state.best, rules.monitor)
            self.state.stale = 0 if better else self.state.stale + 1
            if better:
                self.state.best, self.state.best_epoch = float(value), epoch_of(self.job)
                if self.job.recipe.keep == "best":
                    self._keep()
            if rules.patience and self.state.stale >= rules.patience:
                self.state.stopped = self.model.stop_training = True
        if schedule.name == "plateau" and logs.get(schedule.monitor) is not None:
            self._plateau(logs[schedule.monitor], schedule)

    def _keep(self):
        if not cluster().is_chief:
            return
        tensors = {f"weights/{i:04d}": v.numpy() for i, v in enumerate(self.job.trainer.inference_weights())}
        state = {"step": self.state.step, "epoch": self.state.best_epoch, "value": self.state.best}
        checkpoints.save(self.job.folder / "checkpoints", "best", tensors, state)

    def _plateau(self, value, schedule):
        better = _better(value, self.state.plateau_best, schedule.monitor)
        self.state.plateau_best = float(value) if better else self.state.plateau_best
        self.state.plateau_stale = 0 if better else self.state.plateau_stale + 1
        if self.state.plateau_stale >= schedule.patience:
            lowest = schedule.minimum / self.job.recipe.optimizer.learning_rate
            self.job.schedule.scale.assign(max(float(self.job.schedule.scale.numpy()) * schedule.factor, lowest))
            self.state.plateau_stale = 0


class MetricsLogger(_Callback):
    """Writes one line an epoch to log.jsonl, the same numbers for TensorBoard, and bad images as they are met."""

    def __init__(self, job):
        super().__init__(job)
        self.scalars = Scalars(job.folder / "tensorboard")

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = self.trained = time.perf_counter()
        self.first = self.state.step
        self.rate = learning_rate(self.job)

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
        append_log(self.job.folder, "epoch", epoch=epoch_of(self.job), step=self.state.step, **values)
        self.scalars.write(values, self.state.step)
        log_bad_images(self.job)

    def on_train_end(self, logs=None):
        log_bad_images(self.job)


class Save(_Callback):
    """Writes the `last` checkpoint after every epoch, and every N steps where the recipe says so."""

    def on_epoch_begin(self, epoch, logs=None):
        self.saved = self.state.step

    def on_train_batch_end(self, batch, logs=None):
        every = self.job.recipe.checkpoint.every_steps
        if every and self.state.step // every > self.saved // every and self.state.step % self.job.steps_per_epoch:
            save(self.job)
            self.saved = self.state.step

    def on_epoch_end(self, epoch, logs=None):
        self.state.judged = epoch_of(self.job)
        save(self.job)
        self.saved = self.state.step


def epoch_of(job: Job) -> int:
    """Returns the epoch (from 1) that the last step belonged to."""
    return max(job.state.step - 1, 0) // job.steps_per_epoch + 1


def learning_rate(job: Job) -> float:
    """Returns the rate of the next step."""
    return float(keras.ops.convert_to_numpy(job.trainer.optimizer.learning_rate))


def log_bad_images(job: Job) -> None:
    """Writes a line for each image that could not be decoded since the last call."""
    for source in job.sources.values():
        for bad in source.bad_images.new():
            append_log(job.folder, "bad_image", split=source.split, index=bad.index, name=bad.name, reason=bad.reason)


def _better(value, best, monitor) -> bool:
    value = float(value)
    if not math.isfinite(value):
        return False
    return best is None or (value > best if monitor.endswith("top1") else value < best)
