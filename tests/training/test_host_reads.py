"""Nothing is read from the device after a step, but for every tenth: reading waits until a GPU has done its work."""

from collections import Counter
from pathlib import Path

import pytest
import rich
import tensorflow as tf
from tensorflow.python.framework.ops import _EagerTensorBase

from kerasnets.training import callbacks
from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
SETTINGS = ["epochs=1", "batch_size=8", "evaluation.max_batches=1", "steps_per_execution=1"]


@pytest.fixture
def reads(monkeypatch):
    """Counts the numbers that are read between the steps of an epoch, those of the host's own counters left out."""
    found, inside = Counter(), []
    counter, numpy = callbacks.StepCounter, _EagerTensorBase._numpy
    begin, end = counter.on_epoch_begin, counter.on_test_begin

    def counted(self):
        # The number of steps that a call has done is an int32 in the memory of the host.
        found["read"] += bool(inside) and self.dtype != tf.int32
        return numpy(self)

    monkeypatch.setattr(_EagerTensorBase, "_numpy", counted)
    monkeypatch.setattr(counter, "on_epoch_begin", lambda *a, **k: (begin(*a, **k), inside.append(1))[0])
    monkeypatch.setattr(counter, "on_test_begin", lambda *a, **k: (inside.clear(), end(*a, **k))[1])
    return found


def test_forty_steps_read_six_numbers(tmp_path, monkeypatch, reads):
    monkeypatch.setattr(rich.get_console(), "_force_terminal", True)  # else there is no bar
    monkeypatch.setattr("kerasnets.training.progress.READ_SECONDS", 1e6)
    train(DIGITS, tmp_path / "run", overrides=[*SETTINGS, "steps_per_epoch=40"])
    # The learning rate of the epoch, the first loss for the bar, and every tenth step whether a loss was bad.
    assert reads["read"] == 2 + 40 // callbacks.READ_EVERY
