"""Finds a learning rate: one short training in which the rate grows at every step (Smith 2017; fastai).

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, https://arxiv.org/abs/1506.01186
"""

import math

import keras
import numpy as np

from kerasnets.recipe.optimizer_options import ExponentialOptions
from kerasnets.training.prepare import prepare, read_recipe

# Smoothing of the loss over steps, and how far above its minimum it ends the search.
_SMOOTHING, _DIVERGED = 0.9, 4.0


def find_learning_rate(recipe, *, overrides=(), low: float = 1e-6, high: float = 10.0, steps: int = 100) -> dict:
    """Trains for some steps with a rate that grows from `low` to `high`, and suggests one. No file is written.

    Args:
        recipe: a `Recipe`, a recipe's name, or the path of one.
        overrides: strings `"a.b=c"` that change the recipe at a path.
        low, high: the first and the last rate.
        steps: how many steps there are; the search ends earlier when the loss grows out of bounds.

    Returns:
        `{"suggestion", "steepest", "lowest", "rates", "losses"}`: `steepest` is the rate where the smoothed loss falls
        fastest, `lowest` the one where it is smallest, and the suggestion the smaller of `steepest` and a tenth of
        `lowest`.

    Raises:
        ValueError, FileNotFoundError: the recipe or a rate is wrong.
    """
    if not 0 < low < high or steps < 10:
        raise ValueError(
            "`low` should be above 0 and below `high`, and `steps` at least 10. "
            f"Received: low={low}, high={high}, steps={steps}"
        )
    wanted = read_recipe(recipe, overrides)
    growth = ExponentialOptions(name="exponential", factor=high / low, every_epochs=1.0, staircase=False)
    optimizer = wanted.optimizer.model_copy(update={"learning_rate": low})
    changes = {"optimizer": optimizer, "schedule": growth, "epochs": 1, "steps_per_epoch": steps}
    ready = prepare(wanted.model_copy(update=changes | {"steps_per_execution": 1, "freeze": None}))
    watcher = Losses()
    ready.model.fit(ready.train, epochs=1, steps_per_epoch=steps, callbacks=[watcher], shuffle=False, verbose=0)
    rates = [low * (high / low) ** (step / steps) for step in range(len(watcher.losses))]
    return suggest(rates, watcher.losses)


class Losses(keras.callbacks.Callback):
    """Collects the loss of each step, and ends the training when it grows out of bounds."""

    def __init__(self):
        super().__init__()
        self.losses, self.total = [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = float(logs["loss"]) * (len(self.losses) + 1)  # Keras gives the mean since the epoch began
        loss, self.total = total - self.total, total
        if not math.isfinite(loss) or (self.losses and loss > _DIVERGED * min(self.losses)):
            self.model.stop_training = True
        if math.isfinite(loss):
            self.losses.append(loss)


def suggest(rates: list[float], losses: list[float]) -> dict:
    """Returns the answer of `find_learning_rate` for the losses at some rates."""
    smooth, mean = [], 0.0
    for step, loss in enumerate(losses, 1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        smooth.append(mean / (1 - _SMOOTHING**step))
    end = int(np.argmin(smooth))
    lowest = rates[end]
    slopes = np.gradient(smooth[: end + 1]) if end else np.zeros(1)
    steepest = rates[int(np.argmin(slopes))]
    found = {"suggestion": min(steepest, lowest / 10), "steepest": steepest, "lowest": lowest}
    return {name: float(f"{rate:.3g}") for name, rate in found.items()} | {"rates": rates, "losses": losses}
