"""What a person sees of a run."""

import keras
import rich
import rich.progress

SHOWN = ("loss", "top1", "val_loss", "val_top1", "learning_rate", "images_per_second")


class ProgressBar(keras.callbacks.Callback):
    """A bar over the steps of an epoch, and one line when it is over."""

    def __init__(self, job):
        super().__init__()
        self.job, self.state, self.bar = job, job.state, None

    def on_train_begin(self, logs=None):
        columns = ("{task.description}", rich.progress.BarColumn(), "{task.completed}/{task.total}")
        end = (rich.progress.TimeRemainingColumn(), "{task.fields[numbers]}")
        console = rich.get_console()
        # A file or a pipe gets the lines alone.
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
        """Gives the terminal back; also after an error."""
        if self.bar:
            self.bar.stop()
