"""Sweeps: the search space, killed sweeps, the best recipe, and the learning rate finder."""

import json
import os
import signal
import subprocess
import sys

import pytest
from experiment_processes import ROOT, wait_for

from kerasnets.cli.app import run
from kerasnets.experiments.learning_rate import find_learning_rate, suggest
from kerasnets.experiments.sweep import changed_recipe, read_space
from kerasnets.recipe.read import load_recipe

SPACE = "optimizer.learning_rate: {low: 1e-5, high: 1e-2, log: true}\nbatch_size: {choices: [16, 32]}\n"
QUICK = ["epochs=2", "steps_per_epoch=3", "data.validation_fraction=0.1", "steps_per_execution=1"]
COMMAND = ["sweep", "lenet5_digits", "--space", "space.yaml", *(word for each in QUICK for word in ("--set", each))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {low: 1}", "should have `low` and `high`"),
        ("a: {low: 2, high: 1}", "`low` below `high`"),
        ("a: {low: 0, high: 1, log: true}", "above 0"),
        ("a: {low: 1, high: 2, choices: [1]}", "or a list of `choices`"),
        ("a: {lo: 1, high: 2}", "unknown key .*lo.*Did you mean 'low'"),
        ("{}", "at least one key"),
        ("[1]", "should be lines of"),
    ],
)
def test_a_wrong_space_is_one_line(text, message, tmp_path):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_space(tmp_path / "space.yaml")
    assert "\n" not in str(error.value)


def test_wrong_requests(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("optimizer.learning_rte: {low: 1e-5, high: 1e-2}\n")
    for words, message in (
        (["sweep", "lenet5_digits"], "either --space FILE or --find-learning-rate"),
        (["sweep", "lenet5_digits", "--space", "space.yaml"], "judges by the validation split"),
        (COMMAND, "unknown key optimizer.learning_rte. Did you mean 'learning_rate'"),
    ):
        assert run(words) == 2
        assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["space.yaml"]


def test_changed_recipe():
    base = load_recipe("lenet5_digits")
    changed = changed_recipe(base, {"optimizer.learning_rate": 0.5, "model.arguments": {}})
    assert changed.optimizer.learning_rate == 0.5 and changed.name == base.name


@pytest.mark.slow
def test_a_killed_sweep_goes_on(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "kerasnets", *COMMAND, "--trials", "3", "--output", "sweep", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "sweep" / "trial1" / "log.jsonl").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["trials"] == 3 and set(found["best"]) == {"optimizer.learning_rate", "batch_size"}
    best = load_recipe(tmp_path / "sweep" / "best.yaml")
    assert best.optimizer.learning_rate == found["best"]["optimizer.learning_rate"]
    assert best.batch_size == found["best"]["batch_size"] and best.name == "lenet5_digits"
    assert sorted(path.name for path in (tmp_path / "sweep").glob("trial*")) == ["trial0", "trial1", "trial3"]


def test_the_suggested_rate_is_where_the_loss_falls():
    rates = [1e-5 * 10 ** (step / 20) for step in range(100)]
    losses = [2.3 if rate < 1e-3 else max(2.3 - 2 * (rate / 1e-3 - 1) / 30, 0.3) for rate in rates]
    found = suggest(rates, losses)
    assert 1e-3 < found["steepest"] < 0.05 and found["suggestion"] <= found["steepest"] < found["lowest"]


def test_a_rate_is_found_for_a_real_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_learning_rate("lenet5_digits", overrides=["data.augmentation={}"], steps=60)
    assert 1e-5 < found["suggestion"] < 0.1 and len(found["rates"]) == len(found["losses"]) <= 60
    assert not os.listdir(tmp_path)
    with pytest.raises(ValueError, match="`low` should be above 0"):
        find_learning_rate("lenet5_digits", low=0.0)
