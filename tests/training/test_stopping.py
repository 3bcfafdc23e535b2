"""What ends a run early: SIGTERM in a step and in an evaluation, a full disk, a loss or weights that are NaN."""

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from kerasnets.cli.app import exit_code_of
from kerasnets.cli.app import run as run_command
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import open_run
from kerasnets.runs.log import read_log
from kerasnets.training import callbacks, job, loop, stopping
from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
SHORT = [
    "epochs=2", "steps_per_epoch=4", "batch_size=16", "steps_per_execution=1", "ema.momentum=0.9",
    "evaluation={max_batches: 2, batch_size: 8, keep: best}", "schedule={name: plateau, patience: 1, monitor: loss}",
]  # fmt: skip


def at(monkeypatch, moment: str, step: int, act) -> None:
    """Calls `act` once, when the run reaches `moment` (a method of callbacks) with `step` steps done."""
    before, done = getattr(callbacks.StepCounter, moment), []

    def and_act(self, *arguments, **more):
        if self.state.step == step and not done:
            done.append(act())
        return before(self, *arguments, **more)

    monkeypatch.setattr(callbacks.StepCounter, moment, and_act)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def newest(run):
    return checkpoints.load_newest(run / "checkpoints")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an undisturbed run."""
    return train(DIGITS, tmp_path_factory.mktemp("runs") / "whole", overrides=SHORT, progress=False).path


@pytest.mark.parametrize("steps", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_sigterm_writes_a_checkpoint_and_the_resumed_run_ends_as_an_undisturbed_one(
    tmp_path, monkeypatch, whole, steps
):
    """steps: those of a call from the first stop on, which is in the middle of one. The undisturbed run has 1."""
    run, settings = tmp_path / "stopped", SHORT
    # In step 3; in the evaluation after step 4, when the weights are the averages; in the last call of epoch 2.
    for moment, step, saved in (
        ("on_train_batch_begin", 2, 3), ("on_test_batch_begin", 4, 4), ("on_train_batch_begin", 8 - steps, 8),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            at(patch, moment, step, terminate)
            with pytest.raises(stopping.Stopped, match=f"checkpoint of step {saved} is written") as caught:
                train(DIGITS, run, overrides=settings, resume=True, progress=False)
        assert exit_code_of(caught.value) == 75 and newest(run)[1]["step"] == saved
        settings = [*SHORT, f"steps_per_execution={steps}"]
    train(DIGITS, run, overrides=settings, resume=True, progress=False)
    ours, theirs = newest(run), newest(whole)
    assert ours[1] == theirs[1] and ours[0].keys() == theirs[0].keys()
    for name, value in ours[0].items():
        np.testing.assert_array_equal(value, theirs[0][name], err_msg=name)
    for a, b in zip(open_run(run).model.weights, open_run(whole).model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert (run / "evaluation.json").read_text() == (whole / "evaluation.json").read_text()
    epochs = [[e for e in read_log(folder) if e["event"] == "epoch"] for folder in (run, whole)]
    for ours, theirs in zip(*epochs, strict=True):
        assert {k: v for k, v in ours.items() if "second" not in k} == {
            k: v for k, v in theirs.items() if "second" not in k
        }
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_writes_a_checkpoint_and_a_second_one_does_not_wait(tmp_path, monkeypatch, capsys):
    run, settings = tmp_path / "run", [part for setting in SHORT for part in ("--set", setting)]
    before = signal.getsignal(signal.SIGINT)
    command = ["train", str(DIGITS), "-o", str(run), *settings]
    with monkeypatch.context() as patch:
        at(patch, "on_train_batch_begin", 2, ctrl_c)
        assert run_command(command) == 130
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1] == "kerasnets: Stopped by Ctrl-C; the checkpoint of step 3 is written, go on with --resume"
    assert "stopping after this step; Ctrl-C again stops at once" in lines
    with monkeypatch.context() as patch:
        at(patch, "on_train_batch_begin", 5, lambda: (ctrl_c(), ctrl_c()))
        assert run_command([*command, "--resume"]) == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == "kerasnets: interrupted"
    assert newest(run)[1]["step"] == 4 and signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("moment", ["on_train_end", pytest.param("finish", marks=pytest.mark.slow)])
def test_sigterm_after_the_last_step_is_not_ignored(tmp_path, monkeypatch, moment):
    with monkeypatch.context() as patch:
        if moment == "finish":
            patch.setattr(loop, "score", lambda *_, **__: terminate())
        else:
            at(patch, moment, 8, terminate)
        with pytest.raises(stopping.Stopped, match="checkpoint .*is written, go on with --resume"):
            train(DIGITS, tmp_path / "run", overrides=SHORT, progress=False)
    assert newest(tmp_path / "run")[1]["step"] == 8 and not (tmp_path / "run" / "model.keras").exists()
    assert train(DIGITS, tmp_path / "run", overrides=SHORT, resume=True, progress=False).evaluation["examples"] == 16


def test_a_full_disk_stops_the_run_in_one_line_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    at(monkeypatch, "on_train_batch_begin", 3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1])))
    try:
        with pytest.raises(OSError) as caught:
            train(DIGITS, tmp_path / "run", overrides=[*SHORT, "checkpoint.every_steps=1"], progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Could not write" in str(caught.value) and "\n" not in str(caught.value)
    assert exit_code_of(caught.value) == 1
    tensors, state, complaints = newest(tmp_path / "run")
    assert state["step"] in (2, 3) and not complaints  # that of step 3 may have been in the making
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


@pytest.fixture
def spoil(monkeypatch):
    """A function that multiplies the classifier's weights of the current run by a number, NaN by default."""
    trainers, made = [], callbacks.StepCounter.__init__

    def remember(self, job, metrics):
        trainers.append(job.trainer)
        made(self, job, metrics)

    def now(factor=np.nan):
        weight = trainers[-1].network.get_layer("predictions").kernel
        weight.assign(weight.numpy() * np.float32(factor))

    monkeypatch.setattr(callbacks.StepCounter, "__init__", remember)
    return now


def test_a_nan_loss_names_step_images_and_checkpoint(tmp_path, monkeypatch, spoil):
    at(monkeypatch, "on_train_batch_begin", 5, spoil)
    with pytest.raises(RuntimeError) as caught:
        train(DIGITS, tmp_path / "run", overrides=SHORT, progress=False)
    (event,) = (e for e in read_log(tmp_path / "run") if e["event"] == "bad_numbers")
    message = str(caught.value)
    assert message.startswith("The loss is NaN or infinite at step 6 (epoch 2), whose images are digits/train/")
    assert "the last good checkpoint is that of step 4" in message and "\n" not in message
    assert len(event["images"]) == 16 and event["images"][0] in message and event["first_step"] == 6


def test_losses_that_are_infinite_at_every_scale_end_the_run(tmp_path, monkeypatch, spoil):
    monkeypatch.setattr(job, "INFINITE_STEPS", 2)
    at(monkeypatch, "on_train_batch_begin", 1, lambda: spoil(1e38))  # every loss is infinite at every scale
    with pytest.raises(RuntimeError, match="The loss was infinite in 3 steps in a row, the last of them at step 4 "):
        train(DIGITS, tmp_path / "run", overrides=[*SHORT, "precision=mixed_float16"], progress=False)


def test_nan_weights_are_never_saved(tmp_path, monkeypatch, spoil):
    at(monkeypatch, "on_train_batch_end", 2, spoil)  # after step 3, whose loss was fine
    with pytest.raises(
        RuntimeError, match="Some weights are NaN or infinite at step 3 .* checkpoint is that of step 2"
    ):
        train(DIGITS, tmp_path / "run", overrides=[*SHORT, "checkpoint.every_steps=1"], progress=False)
    tensors, state, _ = newest(tmp_path / "run")
    assert state["step"] == 2 and all(np.isfinite(v).all() for v in tensors.values())
