"""Experiments that are run: verdicts, killed processes, equal numbers, shares, ensembles, the report."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import fresh
import numpy as np
import pytest
import yaml
from experiment_processes import COMMAND, same_numbers, start, steps, wait_for
from safetensors.numpy import load_file
from small_experiment import SMALL

from kerasnets.cli.app import run
from kerasnets.experiments.read import dump_experiment, load_experiment
from kerasnets.experiments.result import gather, read_result
from kerasnets.experiments.run import run_experiment


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The small experiment, run by the real command without any disturbance."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False))
    done = fresh.run("-c", COMMAND.format(["small.yaml", "--output", "runs"]), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs"


def test_the_verdict_and_the_report_of_a_real_experiment(whole):
    result = gather(whole)
    assert result.verdict == "holds" and not result.missing and not result.failed
    assert result.judgements[0].seeds == 2 and len(result.curves["fast"][1]) == 2
    assert result.values["fast"]["parameters"][0] == 61_706
    text = (whole / "report.md").read_text()
    assert "**Verdict: holds.**" in text and "| fast < slow |" in text and "An, Author and Other 1998" in text
    assert (whole / "chart.png").read_bytes()[:4] == b"\x89PNG" and "holds" in (whole / "report.html").read_text()
    assert read_result(whole / "result.json") == result


def test_a_false_claim_does_not_hold(whole):
    """The same runs, with a claim that is false on purpose."""
    changed = load_experiment(whole / "experiment.yaml").model_copy(update={"expect": ("fast > slow", "fast < slow")})
    before = (whole / "experiment.yaml").read_text()
    try:
        (whole / "experiment.yaml").write_text(dump_experiment(changed))
        result = gather(whole)
    finally:
        (whole / "experiment.yaml").write_text(before)
        gather(whole)
    assert [judgement.verdict for judgement in result.judgements] == ["does not hold", "holds"]
    assert result.verdict == "does not hold"


@pytest.mark.slow
def test_an_arm_is_an_ordinary_run(whole, tmp_path):
    """The second run of the experiment's process equals one by `kerasnets train` in a process of its own."""
    run, alone = whole / "slow" / "seed1", tmp_path / "alone"
    program = f"import kerasnets; kerasnets.train({str(run / 'recipe.yaml')!r}, {str(alone)!r}, progress=False)"
    done = fresh.run("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(folder / "checkpoints" / "last.safetensors") for folder in (run, alone))
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


def test_a_killed_experiment_goes_on_to_the_last_bit(whole, small, tmp_path):
    path, folder = small(), tmp_path / "runs"
    process = start(path, "--output", folder, cwd=tmp_path)
    checkpoint = folder / "fast" / "seed0" / "checkpoints" / "last.safetensors"
    wait_for(lambda: checkpoint.exists() and steps(checkpoint.parents[1]) >= 3, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run(["experiment", "run", str(path), "--output", str(folder)]) == 2  # it needs --resume
    again = fresh.run("-c", COMMAND.format([str(path), "--output", str(folder), "--resume"]), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    same_numbers(folder, whole)
    assert '"event": "resume"' in (folder / "fast" / "seed0" / "log.jsonl").read_text()


@pytest.mark.slow
def test_a_killed_process_of_two_is_started_again(whole, small, tmp_path):
    path, folder = small(), tmp_path / "runs"
    process = start(path, "--output", folder, "--jobs", 2, cwd=tmp_path)
    checkpoint = folder / "slow" / "seed0" / "checkpoints" / "last.safetensors"
    wait_for(lambda: checkpoint.exists() and steps(checkpoint.parents[1]) >= 2, process)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(workers) == 2
    os.kill(int(workers[0]), signal.SIGKILL)
    assert process.wait(400) == 0, process.stderr.read().decode()
    same_numbers(folder, whole)


@pytest.mark.slow
def test_workers_end_with_a_killed_experiment(small, tmp_path):
    process = start(small(), "--output", "runs", "--jobs", 2, cwd=tmp_path)
    wait_for(lambda: (tmp_path / "runs" / "fast" / "seed0" / "log.jsonl").exists(), process)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(workers) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_shares_of_an_array_make_one_experiment(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = small(arms={"a": {"epochs": 1}, "b": {"epochs": 1, "seed": 5}}, ensembles={"vote": ["a", "b"]}, seeds=1,
                 measure="held_out_error", expect="vote <= a", chart="bars")  # fmt: skip
    for number in range(2):
        result = run_experiment(path, task=(number, 2), progress=False)
        assert result.path == Path("runs") / "experiments" / "small"
        assert list(result.missing) == [["b/seed0", "vote/seed0"], []][number]
    assert set(result.values) == {"a", "b", "vote"}
    assert run(["experiment", "report", "small", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["values"]["vote"]["held_out_error"].keys() == {"0"} and shown["verdict"] == "undecided"
    for name in ("small", path.name):
        assert run(["experiment", "report", name]) == 0 and "vote" in capsys.readouterr().out
    assert "`kerasnets experiment run small.yaml`" in (result.path / "report.md").read_text()


def test_a_run_that_fails_does_not_stop_the_others(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wild = {"optimizer": {"name": "sgd", "learning_rate": 1e38}}
    path = small(arms={"wild": wild, "calm": {}}, seeds=1, expect="calm < wild", measure="held_out_error")
    assert run(["experiment", "run", str(path), "--set", "epochs=1"]) == 1
    output = capsys.readouterr()
    assert "Failed: wild/seed0" in output.out and "calm, seed 0" in output.err
    assert gather("runs/experiments/small").failed.keys() == {"wild/seed0"}
