"""What a run shows and logs: the progress bar, the line of an epoch, log.jsonl and TensorBoard."""

import math
import time

import keras
import rich
import rich.progress

from kerasnets.runs.folder import Scalars, append_log
from kerasnets.training.job import JobCallback, log_bad_images

# What the line of an epoch shows.
SHOWN = ("loss", "top1", "val_loss", "val_top1", "learning_rate", "images_per_second")
# Seconds between two readings of the loss for the bar. Each waits for the device.
READ_SECONDS = 1.0


class ProgressBar(JobCallback):
    """Shows a bar over the steps of an epoch, and prints one line at its end."""

    def __init__(self, job):
        super().__init__(job)
        self.bar, self.loss, self.read_at = None, "", -math.inf

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
        if self.bar.disable:
            return
        if time.monotonic() - self.read_at >= READ_SECONDS:
            self.read_at, self.loss = time.monotonic(), f"loss {float(logs['loss']):.4f}"
        done = (self.state.step - 1) % self.job.steps_per_epoch + 1
        self.bar.update(self.task, completed=done, numbers=self.loss)

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


class MetricsLogger(JobCallback):
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
