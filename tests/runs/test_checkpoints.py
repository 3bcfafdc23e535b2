"""Checkpoints and run folders: never half written, never overwritten by accident."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasnets.runs import checkpoints
from kerasnets.runs.folder import Scalars, append_log, claim, open_run
from kerasnets.runs.log import read_log

TENSORS = {"network/0000": np.arange(6, dtype="float32").reshape(2, 3), "optimizer/0000": np.asarray(7, "int64")}


def damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "one bit":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"not a checkpoint at all" * 100)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoints.save(tmp_path, "last", TENSORS, {"step": 3, "best": None})
    tensors, state, complaints = checkpoints.load_newest(tmp_path)
    assert state == {"step": 3, "best": None} and complaints == []
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


@pytest.mark.parametrize("how", ["cut", "one bit", "empty", "other"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_is_loaded(tmp_path, how):
    assert checkpoints.load_newest(tmp_path) is None
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, "last", TENSORS, {"step": step})
    damage(tmp_path / "last.safetensors", how)
    _, state, complaints = checkpoints.load_newest(tmp_path)
    assert state["step"] == 2 and len(complaints) == 1 and "last.safetensors" in complaints[0]
    damage(tmp_path / "previous.safetensors", how)
    with pytest.raises(RuntimeError, match="No whole checkpoint"):
        checkpoints.load_newest(tmp_path)


def test_a_write_that_fails_keeps_the_former_file(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, "last", TENSORS, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoints.save(tmp_path, "last", TENSORS, {"step": 2})
    assert checkpoints.load_newest(tmp_path)[1] == {"step": 1}
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_checkpoint_of_another_network_changes_nothing():
    variables = [tf.Variable(np.zeros((2, 2), "float32"), name="a")]
    with pytest.raises(ValueError, match="another network"):
        checkpoints.write_variables({"network": variables}, TENSORS)
    np.testing.assert_array_equal(variables[0].numpy(), 0)


def test_a_log_survives_a_line_that_was_cut_off(tmp_path):
    append_log(tmp_path, "epoch", epoch=1, loss=2.0)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"event": "epo')
    append_log(tmp_path, "resume", step=0)
    append_log(tmp_path, "epoch", epoch=1, loss=1.0)
    assert [(e["event"], e.get("loss")) for e in read_log(tmp_path)] == [("resume", None), ("epoch", 1.0)]


def take(path, resume=False, overwrite=False):
    with claim(path, resume=resume, overwrite=overwrite) as run:
        return run


def test_run_folders_are_not_overwritten_by_accident(tmp_path):
    run = tmp_path / "run"
    take(run)
    (run / "recipe.yaml").write_text("{}")
    (run / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="unfinished run, which --resume continues"):
        take(run)
    (run / "model.keras").write_text("")
    with pytest.raises(ValueError, match="holds a finished run; --overwrite"):
        take(run)
    assert take(run, resume=True) == run and (run / "model.keras").exists()
    assert take(run, overwrite=True) == run and not (run / "model.keras").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="is not a run folder"):
            take(tmp_path / "other", overwrite=overwrite)
    with pytest.raises(OSError, match="cannot be written"):
        take(tmp_path / "other" / "thesis.doc" / "run")


HOLD = """
import sys, time
from kerasnets.runs.folder import claim
with claim(sys.argv[1], resume=False, overwrite=False):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_that_another_process_trains_in_is_refused_until_it_ends(tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        while "held" not in process.stdout.readline():
            assert process.poll() is None
        for name in ("recipe.yaml", "log.jsonl", "model.keras"):
            (run / name).write_text("")
        for settings in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ValueError, match="Another process trains in") as caught:
                take(run, **settings)
            assert "\n" not in str(caught.value) and (run / "model.keras").exists()
    finally:
        process.kill()
        process.wait()
    assert take(run, resume=True) == run and (run / "model.keras").exists()
    assert take(run, overwrite=True) == run and not (run / "model.keras").exists()


def test_a_folder_without_a_finished_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No run at"):
        open_run(tmp_path)
    (tmp_path / "recipe.yaml").write_text("{}")
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(FileNotFoundError, match="has not finished"):
        open_run(tmp_path)


def test_scalars_can_be_read_by_tensorboard(tmp_path):
    Scalars(tmp_path).write({"loss": 0.5}, step=3)
    (file,) = tmp_path.glob("events*")
    events = [e for e in tf.compat.v1.train.summary_iterator(os.fspath(file)) if e.summary.value]
    (value,) = events[0].summary.value
    assert (value.tag, events[0].step, value.metadata.plugin_data.plugin_name) == ("loss", 3, "scalars")
    assert float(tf.make_ndarray(value.tensor)) == 0.5
    assert json.dumps(events[0].step) == "3"
