"""Checkpoints are written by a thread: one at a time, without stopping the training, and no error is lost."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kerasnets.runs import checkpoints
from kerasnets.runs.log import read_log
from kerasnets.runs.writer import CheckpointWriter
from kerasnets.training import callbacks
from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
SHORT = ["epochs=1", "steps_per_epoch=6", "batch_size=8", "steps_per_execution=1", "evaluation.max_batches=1"]
TENSORS = {"network/0000": np.ones(4, "float32")}


@pytest.fixture
def held(monkeypatch):
    """Every write waits until this event is set."""
    go, save = threading.Event(), checkpoints.save
    monkeypatch.setattr(checkpoints, "save", lambda *arguments: go.wait(60) and save(*arguments))
    return go


def test_one_checkpoint_is_written_at_a_time(tmp_path, held):
    writer = CheckpointWriter()
    writer.save(tmp_path, "last", TENSORS, {"step": 1})  # returns while the file is held back
    writer.check()
    assert not (tmp_path / "last.safetensors").exists()
    threading.Timer(0.2, held.set).start()
    writer.save(tmp_path, "last", TENSORS, {"step": 2})  # waits for the one before it
    assert checkpoints.load(tmp_path / "last.safetensors")[1]["step"] in (1, 2)
    writer.wait()
    assert checkpoints.load(tmp_path / "previous.safetensors")[1]["step"] == 1
    assert checkpoints.load(tmp_path / "last.safetensors")[1]["step"] == 2


def test_an_error_is_raised_once_and_the_first_error_of_a_run_is_the_one_shown(tmp_path):
    writer = CheckpointWriter()
    for finish in (writer.wait, writer.check):
        writer.save(tmp_path / "nowhere", "last", TENSORS, {"step": 1})
        writer._writing.exception()  # waits
        with pytest.raises(OSError, match="Could not write"):
            finish()
        finish()
    with pytest.raises(OSError, match="Could not write"), writer:
        writer.save(tmp_path / "nowhere", "last", TENSORS, {"step": 1})
    with pytest.raises(KeyError), writer:
        writer.save(tmp_path / "nowhere", "last", TENSORS, {"step": 1})
        raise KeyError


def test_the_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch, held):
    """The file of step 2 is held back until step 4 begins; the run would wait for ever if it waited for the file."""
    begun = callbacks.StepCounter.on_train_batch_begin

    def note(self, batch, logs=None):
        if self.state.step == 3:
            assert not (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()
            held.set()
        begun(self, batch, logs)

    monkeypatch.setattr(callbacks.StepCounter, "on_train_batch_begin", note)
    run = train(DIGITS, tmp_path / "run", overrides=[*SHORT, "checkpoint.every_steps=2"], progress=False)
    assert checkpoints.load_newest(run.path / "checkpoints")[1]["step"] == 6
    assert [e["event"] for e in read_log(run.path)][-1] == "end"


SLOW = """import os, sys, time
from kerasnets.training.loop import train
replace, written = os.replace, []
def slow(source, target):
    if str(target).endswith("last.safetensors"):
        written.append(target)
        if len(written) == 2:
            print("writing", flush=True)
            time.sleep(float(sys.argv[2]))
    replace(source, target)
os.replace = slow
train(sys.argv[1], sys.argv[3], overrides=sys.argv[4:], progress=False)
"""


@pytest.mark.parametrize(
    ("number", "seconds"), [pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow), (signal.SIGKILL, 60)]
)
def test_a_signal_while_a_checkpoint_is_written_leaves_whole_checkpoints(tmp_path, number, seconds):
    """SIGTERM waits for the file of step 2, and writes another; after SIGKILL that of step 1 is the newest."""
    program, run, root = tmp_path / "program.py", tmp_path / "run", Path(__file__).parents[2]
    program.write_text(SLOW)
    command = [sys.executable, os.fspath(program), os.fspath(DIGITS), str(seconds), os.fspath(run), *SHORT]
    environment = os.environ | {"PYTHONPATH": os.fspath(root)}
    process = subprocess.Popen(
        [*command, "checkpoint.every_steps=1"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while line := process.stdout.readline():
        if b"writing" in line:
            break
    assert list((run / "checkpoints").glob(".last*.tmp"))
    process.send_signal(number)
    errors = process.communicate(timeout=120)[1].decode()
    _, state, complaints = checkpoints.load_newest(run / "checkpoints")
    assert not complaints
    if number == signal.SIGTERM:
        assert f"the checkpoint of step {state['step']} is written" in errors and state["step"] >= 2
    else:
        assert state["step"] == 1
