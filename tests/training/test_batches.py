"""A run trains on the batches of its seed, and its epochs are evaluated with the averages."""

from pathlib import Path

import numpy as np
import pytest

from kerasnets.runs.log import read_log
from kerasnets.training import loop, prepare

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


class Enough(Exception):
    """Ends a run that has shown what the test wants to see."""


def test_the_seed_of_the_recipe_decides_the_batches(tmp_path, monkeypatch):
    batches, made = [], prepare.training_batches

    def noted(*arguments, **settings):
        batches.append(np.asarray(next(iter(made(*arguments, **settings)))[0]))
        raise Enough

    monkeypatch.setattr(prepare, "training_batches", noted)
    for run, seed in enumerate((3, 3, 4)):
        overrides = ["data.augmentation={}", f"seed={seed}"]
        with pytest.raises(Enough):
            loop.train(DIGITS, tmp_path / str(run), smoke=True, overrides=overrides, progress=False)
    one, again, other = batches
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_an_epoch_is_evaluated_with_the_averages(tmp_path):
    """The held-out loss of the last epoch is that of the finished network, which has the averages for weights."""
    overrides = ["ema={momentum: 0.9, warmup: false}", "optimizer={name: sgd, learning_rate: 0.2}"]
    run = loop.train(DIGITS, tmp_path / "run", smoke=True, overrides=overrides, progress=False)
    (epoch,) = (event for event in read_log(run.path) if event["event"] == "epoch")
    assert epoch["val_loss"] == pytest.approx(run.evaluation["loss"], rel=1e-5)
