"""`kerasnets benchmark recipe`: the figures fit together, and the advice fits the figures."""

import json
from pathlib import Path
from types import SimpleNamespace

from kerasnets.cli.app import run
from kerasnets.recipe.read import load_recipe
from kerasnets.training import benchmark
from kerasnets.training.benchmark import Speed, advice

DIGITS = str(Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml")


def test_a_recipe_is_measured_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            [
                "benchmark",
                "recipe",
                DIGITS,
                "--steps",
                "4",
                "--set",
                "batch_size=8",
                "--set",
                "steps_per_execution=2",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == set(Speed._fields) and found["batch_size"] == 8 and found["devices"] == 1
    assert found["step_ms"] > 0 and found["input_ms"] > 0 and found["input_cores"] > 0
    assert 0 < found["utilisation"] <= 1 and found["stall_ms"] >= 0
    assert abs(found["images_per_second"] - 8e3 / found["together_ms"]) < 1e-6
    assert not list(tmp_path.iterdir())


def speed(**changes) -> Speed:
    values = {"batch_size": 8, "devices": 1, "precision": "float32", "step_ms": 100.0, "input_ms": 90.0}
    values |= {"together_ms": 101.0, "stall_ms": 1.0, "utilisation": 0.99, "images_per_second": 80.0}
    return Speed(**values | {"input_cores": 1.0, "advice": []} | changes)


def test_the_advice_fits_the_figures(monkeypatch):
    recipe = load_recipe(DIGITS, ["batch_size=8", "steps_per_execution=1"])
    job = SimpleNamespace(source=SimpleNamespace(batches=()))
    assert advice(speed(), recipe, job) == []
    assert "waits for the input" in advice(speed(utilisation=0.5), recipe, job)[0]
    assert "steps_per_execution: 10" in advice(speed(step_ms=2.0), recipe, job)[0]
    assert "multiple of 3" in advice(speed(devices=3), recipe, job)[0]
    monkeypatch.setattr(benchmark, "visible_devices", lambda: ["/device:GPU:0"])
    assert [line.split("`")[1] for line in advice(speed(), recipe, job)] == ["precision: auto", "jit_compile: true"]


def test_a_slow_input_is_named(monkeypatch):
    recipe = load_recipe(DIGITS)
    stages = [
        SimpleNamespace(name=n, cpu_microseconds=c) for n, c in (("read", 5), ("resize", 9), ("n", 99), ("w", 99))
    ]
    monkeypatch.setattr(benchmark, "measure_stages", lambda *_, **__: stages)
    job = SimpleNamespace(source=SimpleNamespace(batches=None), trainer=SimpleNamespace(preprocessing=None))
    assert "slowest stage is 'resize': `data.augmentation.antialias" in advice(speed(utilisation=0.5), recipe, job)[0]
