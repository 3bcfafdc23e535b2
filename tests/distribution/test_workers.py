"""Several workers, as processes of this machine: `kerasnets launch`. The tests of whole jobs are slow."""

import json
import os
import signal

import pytest
from distribution_check import TOLERANCE
from distribution_jobs import difference, finish, killed, start, until_step, worker

from kerasnets.distribution.strategy import Cluster, check_batch_size, cluster
from kerasnets.runs import checkpoints
from kerasnets.runs.log import read_log


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    finish(start(folder, command=("train",)))
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together") / "run"
    finish(start(folder))
    return folder


@pytest.mark.slow
def test_two_workers_train_the_weights_of_one_process(alone, together):
    assert difference(together, alone) <= 10 * TOLERANCE  # 60 steps, not five
    ours, theirs = (json.loads((run / "evaluation.json").read_text()) for run in (together, alone))
    assert ours["examples"] == theirs["examples"] == 150 and ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    ours, theirs = ([e for e in read_log(run) if e["event"] == "epoch"] for run in (together, alone))
    for a, b in zip(ours, theirs, strict=True):
        for name in ("loss", "val_loss", "top1", "val_top1"):
            assert a[name] == pytest.approx(b[name], rel=1e-4)
    (begin,) = (e for e in read_log(together) if e["event"] == "start")
    assert begin["sharding"] == "by element: each of 2 workers (2 devices) reads its own 8 of 16"
    events = [json.loads(line)["event"] for line in (together / "log.jsonl").read_text().splitlines()]
    assert (
        events.count("start") == events.count("end") == 1 and events.count("epoch") == 2
    )  # only the chief writes the log


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_a_job_with_a_killed_worker_resumes_from_the_checkpoint(tmp_path, together, index):
    errors = killed(tmp_path / "run", index)
    assert "a worker was killed by SIGKILL; restart 1 of 3" in errors
    assert [e["step"] >= 10 for e in read_log(tmp_path / "run") if e["event"] == "resume"] == [True]
    assert difference(tmp_path / "run", together) == 0.0


@pytest.mark.slow
def test_sigterm_stops_all_workers_after_the_same_step(tmp_path, together):
    process = start(tmp_path / "run")
    until_step(tmp_path / "run", 5, process)
    os.kill(worker(process, 1), signal.SIGTERM)  # not the chief
    errors = finish(process, 75)
    (stopped,) = (e for e in read_log(tmp_path / "run") if e["event"] == "stopped")
    assert checkpoints.load_newest(tmp_path / "run" / "checkpoints")[1]["step"] == stopped["step"]
    assert f"checkpoint of step {stopped['step']} is written" in errors
    finish(start(tmp_path / "run", "--resume"))
    assert difference(tmp_path / "run", together) == 0.0


@pytest.mark.slow
def test_a_wrong_request_of_all_workers_is_one_line(tmp_path):
    errors = finish(start(tmp_path / "run", "--set", "batch_size=15"), 2)
    assert errors.count("\n") == 1 and "batch_size is global and must be a multiple" in errors
    assert not (tmp_path / "run").exists()


def test_the_place_in_the_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster() == Cluster(1, 0) and cluster().is_chief
    hosts = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": hosts, "task": {"type": "worker", "index": 1}}))
    assert cluster() == Cluster(3, 2) and not cluster().is_chief
    assert cluster().share(12) == slice(8, 12)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}']
    + ['{"cluster": {"ps": ["a:1"], "worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'],
)
def test_a_wrong_place_is_one_line(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="TF_CONFIG should be like") as caught:
        cluster()
    assert "\n" not in str(caught.value)


def test_batches_that_cannot_be_cut():
    check_batch_size(9, 2)  # uneven parts give right results and a warning
    for settings in ((9, 2, 3), (9, 2, 1, 2), (1, 2)):
        with pytest.raises(ValueError, match="must be a multiple"):
            check_batch_size(*settings)
