"""Each of 200 seeded wrong recipes gives one line with key, value and what is allowed; nothing is written."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kerasnets.cli.app import run

ROOT = Path(__file__).parents[2]
BASE = {
    "model": {"name": "lenet5_modern", "arguments": {"classes": 10}},
    "data": {"source": {"kind": "digits"}, "augmentation": {"affine": {"shift": 0.1}}},
    "batch_size": 8,
    "epochs": 1,
    "steps_per_epoch": 2,
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "loss": {"label_smoothing": 0.1},
    "ema": {"momentum": 0.9},
    "evaluation": {"keep": "last", "max_batches": 1},
    "checkpoint": {"every_steps": 1},
    "precision": "float32",
    "seed": 1,
    "deterministic": True,
}
# For keys: a value of another type, and values out of range.
TYPES = {
    "batch_size": "eight", "epochs": 1.5, "steps_per_epoch": [2], "optimizer.learning_rate": "fast",
    "optimizer.momentum": {}, "schedule.warmup_epochs": "one", "loss.label_smoothing": True, "ema.momentum": "0.9",
    "evaluation.max_batches": "all", "checkpoint.every_steps": 2.5, "seed": "one", "deterministic": 1,
    "model": "lenet5", "data": [], "optimizer": "sgd", "loss": 0.1, "data.source": "digits",
    "data.augmentation.affine.shift": "little",
}  # fmt: skip
RANGES = {
    "batch_size": (0, -8, 100000), "epochs": (0, -1), "steps_per_epoch": (0,), "optimizer.learning_rate": (0, -0.1),
    "optimizer.momentum": (1.0, -0.5, 7), "schedule.warmup_epochs": (-1,), "loss.label_smoothing": (1.0, -0.1, 3),
    "ema.momentum": (1.0, -1.0), "evaluation.max_batches": (0,), "checkpoint.every_steps": (0, -5), "seed": (-1,),
    "optimizer.name": ("sdg", "adam", ""), "schedule.name": ("cosin", "linear"), "evaluation.keep": ("first",),
    "precision": ("float16", "half"), "data.augmentation.affine.shift": (2, -1), "data.source.kind": ("digit", "cifar"),
    "model.name": ("lenet5_moder", "resnet5", ""), "model.arguments.classes": (7, 0), "data.train_split": ("trian",),
    "data.size": (0, 31), "gradient_accumulation": (3, 0), "data.bad_image_limit": (1.5,),
}  # fmt: skip
MISSING = ("model", "data", "batch_size", "epochs", "optimizer", "optimizer.name", "optimizer.learning_rate")
MISSING += ("model.name", "data.source", "data.source.kind", "schedule.name")
FILES = (
    {"kind": "folder", "path": "no/such/folder"},
    {"kind": "arrays", "path": "no/such/file.npz"},
    {"kind": "folder"},
    {"kind": "arrays"},
    {"kind": "tfds"},
)


def leaves(tree: dict, above=()):
    """Yields the paths of all keys, blocks included."""
    for key, value in tree.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from leaves(value, (*above, key))


def copy(tree: dict) -> dict:
    return yaml.safe_load(yaml.safe_dump(tree))


def put(tree: dict, path: str, value) -> dict:
    """Sets (or with `...` removes) the value at a dotted path of a copy."""
    *above, last = path.split(".")
    block = tree = copy(tree)
    for key in above:
        block = block.setdefault(key, {})
    block[last] = value
    if value is ...:
        del block[last]
    return tree


def misspelt(dice: random.Random):
    path = dice.choice([p for p in leaves(BASE) if p[0] != "model" or len(p) == 1])
    key, place = path[-1], dice.randrange(1, len(path[-1]))
    wrong = dice.choice([key[:place] + key[place + 1 :], key[:place] + "x" + key[place:], key + "s"])
    *above, last = path
    tree = block = copy(BASE)
    for name in above:
        block = block[name]
    block[wrong] = block.pop(last)
    return tree, wrong, wrong


def of_another_type(dice):
    path = dice.choice(sorted(TYPES))
    return put(BASE, path, TYPES[path]), path.split(".")[-1], TYPES[path]


def out_of_range(dice):
    path = dice.choice(sorted(RANGES))
    value = dice.choice(RANGES[path])
    return put(BASE, path, value), path.split(".")[-1], value


def missing(dice):
    path = dice.choice(MISSING)
    return put(BASE, path, ...), path.split(".")[-1], None


def without_its_file(dice):
    source = dice.choice(FILES)
    return put(BASE, "data.source", source), "name" if source["kind"] == "tfds" else "path", source.get("path")


def nested_wrongly(dice):
    key = dice.choice(["optimizer", "schedule", "loss", "evaluation", "checkpoint"])
    other = dice.choice(["data", "ema", "model"])
    tree = copy(BASE)
    tree[other][key] = tree.pop(key)
    return tree, key, None


def broken(dice):
    text = yaml.safe_dump(BASE)
    place = dice.randrange(len(text))
    return text[:place] + dice.choice(["{", "[", "\t: -", "\n  - ", '"']) + text[place:], None, None


KINDS = (misspelt, of_another_type, out_of_range, missing, without_its_file, nested_wrongly, broken)


def mutations(count: int = 200, seed: int = 0):
    """Yields (number, kind, text of the recipe, key, value); all are wrong."""
    dice = random.Random(seed)
    number = 0
    while number < count:
        kind = KINDS[number % len(KINDS)]
        tree, key, value = kind(dice)
        text = tree if isinstance(tree, str) else yaml.safe_dump(tree)
        try:
            if kind is broken and isinstance(yaml.safe_load(text), dict):
                continue  # still a mapping
        except yaml.YAMLError:
            pass
        yield number, kind, text, key, value
        number += 1


def test_200_wrong_recipes_are_200_plain_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, wrong = tmp_path / "recipe.yaml", []
    for number, kind, text, key, value in mutations():
        path.write_text(text)
        code = run(["train", str(path)])
        output = capsys.readouterr()
        line = output.err.rstrip("\n")
        shown = value is None or str(value) in line or repr(value) in line
        plain = "\n" not in line and "Traceback" not in line and line.startswith("kerasnets: ") and not output.out
        if code != 2 or not plain or (key and key not in line) or not shown or os.listdir(tmp_path) != [path.name]:
            wrong.append(f"{number} {kind.__name__} {key}={value!r}: exit code {code}: {line[:300]}")
    assert not wrong, "\n".join([f"{len(wrong)} of 200:", *wrong])


@pytest.mark.parametrize(
    "number", [0, pytest.param(4, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)]
)
def test_so_does_the_real_command(tmp_path, number):
    text = next(text for found, _, text, _, _ in mutations() if found == number)
    (tmp_path / "recipe.yaml").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "kerasnets", "train", "recipe.yaml"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and not result.stdout
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("kerasnets: ")
    assert os.listdir(tmp_path) == ["recipe.yaml"]
