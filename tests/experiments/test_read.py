"""Experiments are read, and 100 seeded wrong ones give one line each; nothing is written."""

import os
import random
import shutil
from pathlib import Path

import pytest
import yaml
from small_experiment import SMALL

from kerasnets.cli.app import run
from kerasnets.experiments.read import dump_experiment, load_experiment, recipe_of, tasks
from kerasnets.recipe.shipped import experiment_names

NAMES = experiment_names()


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_whole(name, tmp_path):
    experiment = load_experiment(name)
    assert experiment.name == name and len(experiment.arms) > 1 and experiment.seeds >= 3
    assert experiment.claim.endswith(".") and any(year in experiment.paper.source for year in ("19", "20"))
    assert experiment.full, "what to change for the paper's size"
    load_experiment(name, full=True)
    load_experiment(name, smoke=True)
    (tmp_path / "copy.yaml").write_text(dump_experiment(experiment), encoding="utf-8")
    assert load_experiment(tmp_path / "copy.yaml") == experiment


def test_arms_and_seeds_change_the_recipe(small):
    arms = {"a": {"batch_size": 8, "optimizer.learning_rate": 0.5}, "b": None}
    path = small(recipe="lenet5_digits", arms=arms, expect="a < b")
    experiment = load_experiment(path, overrides=["epochs=3"], seeds=2)
    assert tasks(experiment) == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    a, b = recipe_of(experiment, "a", 1), recipe_of(experiment, "b", 0)
    assert (a.batch_size, a.optimizer.learning_rate, a.epochs, a.seed) == (8, 0.5, 3, 1)
    assert (b.batch_size, b.optimizer.learning_rate, b.seed) == (32, 2e-3, 0)
    only = load_experiment(path, arms=["b"])
    assert list(only.arms) == ["b"] and only.expect == ()


def test_smoke_and_full_change_it_too(small):
    path = small(smoke={"data.size": 32}, full={"note": "more", "set": {"epochs": 20}, "arms": {"fast": {"seed": 7}}})
    full = load_experiment(path, full=True)
    assert recipe_of(full, "fast", 1).seed == 8 and recipe_of(full, "slow", 0).epochs == 20
    smoke = load_experiment(path, smoke=True)
    assert smoke.seeds == 1 and recipe_of(smoke, "slow", 0, smoke=True).data.size == 32
    assert recipe_of(smoke, "slow", 0, smoke=True).steps_per_epoch == 2


def misspelt(dice):
    key = dice.choice(sorted(SMALL))
    place = dice.randrange(1, len(key))
    wrong = dice.choice([key[:place] + key[place + 1 :], key[:place] + "x" + key[place:], key + "q"])
    changed = {(wrong if name == key else name): value for name, value in SMALL.items()}
    return changed, wrong


def missing(dice):
    key = dice.choice(["chapter", "claim", "paper", "differs", "recipe", "arms", "measure", "expect"])
    return {name: value for name, value in SMALL.items() if name != key}, key


WRONG = {
    "claim": ("", 3, []), "paper": ("He 2015", {"source": "x"}), "arms": ({}, ["a"], {"A": {}}, {"each": {}}),
    "recipe": (7, "lenet5_digit", {"model": "x"}), "seeds": (0, -1, "three", 1.5), "also": ("none", ["sizes"]),
    "measure": ("error", {"name": "epochs_to"}, {"name": "held_out_error", "epoch": 3}, 5, {"name": "column_error"}),
    "expect": ("fast", "fast < sloww", ["fast < slow", "fast ="], 3), "chart": ("pie", {"kind": "bars", "y": 1}),
    "smoke": ("yes", [1]), "full": ("CIFAR", {"set": {}}, {"note": "n", "arms": {"fats": {}}}),
    "resources": ({"fats": {}}, {"each": {"cpu": 1}}, 4), "ensembles": ({"vote": ["fast", "slo"]}, ["fast"]),
}  # fmt: skip


def wrong_value(dice):
    key = dice.choice(sorted(WRONG))
    return SMALL | {key: dice.choice(WRONG[key])}, None


ARMS = (
    {"batch_size": "eight"}, {"optimizer.learning_rte": 0.1}, {"model.name": "lenet6"}, {"epochs": 0}, {"modl": {}},
    {"model.arguments": {"clases": 3}}, {"model.spec": {"filters": [1]}}, {"data.source.kind": "digit"},
    {"data.size": 31}, {"data.train_split": "trian"}, {"optimizer.name": "sdg"},
)  # fmt: skip


def wrong_arm(dice):
    return SMALL | {"arms": SMALL["arms"] | {"slow": dice.choice(ARMS)}}, None


def broken(dice):
    text = yaml.safe_dump(SMALL)
    place = dice.randrange(len(text))
    return text[:place] + dice.choice(["{", "[", "\t: -", '"']) + text[place:], None


KINDS = (misspelt, missing, wrong_value, wrong_arm, broken)


def mutations(count=100):
    dice, number = random.Random(0), 0
    while number < count:
        changed, key = KINDS[number % len(KINDS)](dice)
        text = changed if isinstance(changed, str) else yaml.safe_dump(changed)
        try:
            if isinstance(changed, str) and isinstance(yaml.safe_load(text), dict):
                continue  # still a mapping
        except yaml.YAMLError:
            pass
        yield number, text, key
        number += 1


def test_100_wrong_experiments_are_100_plain_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, wrong = tmp_path / "own.yaml", []
    for number, text, key in mutations():
        path.write_text(text)
        code = run(["experiment", "run", str(path)])
        output = capsys.readouterr()
        line = output.err.rstrip("\n")
        plain = "\n" not in line and "Traceback" not in line and line.startswith("kerasnets: ") and not output.out
        if code != 2 or not plain or (key and key not in line) or os.listdir(tmp_path) != [path.name]:
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)
            wrong.append(f"{number} {key}: exit code {code}, {os.listdir(tmp_path)}: {line[:300]}")
    assert not wrong, "\n".join([f"{len(wrong)} of 100:", *wrong])


def test_an_unknown_experiment_gets_a_hint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["experiment", "run", "degradatoin"]) == 2
    assert "Did you mean 'degradation'" in capsys.readouterr().err
    assert run(["experiment", "report", "degradation"]) == 2
    assert run(["experiment", "run", "degradation", "--task", "3"]) == 2
    assert not list(Path(tmp_path).iterdir())
