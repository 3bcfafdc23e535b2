"""The recipe's precision: what `auto` stands for, that a run computes in it, and that it is restored afterwards."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf

from kerasnets.distribution import precision
from kerasnets.graph import hardware
from kerasnets.recipe.read import load_recipe
from kerasnets.training import loop

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
OPTION = "auto_mixed_precision_onednn_bfloat16"


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        ([], "fpu avx2", "float32"),
        ([], "fpu avx512f avx512_bf16", "mixed_bfloat16"),
        ([(7, 5)], "fpu avx512_bf16", "float32"),
        ([(8, 0), (9, 0)], "fpu", "mixed_bfloat16"),
        ([(8, 0), (7, 5)], "fpu", "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_machine_has_it(monkeypatch, tmp_path, capabilities, flags, expected):
    facts = tmp_path / "cpuinfo"
    facts.write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(hardware, "PROCESSOR", facts)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(range(len(capabilities))))
    details = lambda gpu: {"compute_capability": capabilities[gpu]}  # noqa: E731
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    assert precision.resolve("auto", "resnet50") == expected
    assert precision.resolve("float32", "resnet50") == "float32"
    # The casts of a small network cost a processor more than the products save.
    assert precision.resolve("auto", "lenet5") == (expected if capabilities else "float32")


def test_the_former_precision_is_restored():
    with precision.computing_in("onednn_bfloat16"):
        assert keras.config.dtype_policy().name == "float32"
        assert tf.config.optimizer.get_experimental_options()[OPTION]
        with precision.computing_in("mixed_bfloat16"):
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
            assert not tf.config.optimizer.get_experimental_options()[OPTION]
        assert tf.config.optimizer.get_experimental_options()[OPTION]
    assert not tf.config.optimizer.get_experimental_options().get(OPTION)
    assert keras.config.dtype_policy().name == "float32"


def test_a_run_computes_in_its_precision_and_writes_it_down(tmp_path, monkeypatch):
    found, fit = [], loop.fit

    def observed(*arguments):
        found.append(tf.config.optimizer.get_experimental_options()[OPTION])
        fit(*arguments)

    monkeypatch.setattr(loop, "fit", observed)
    settings = {"smoke": True, "progress": False}
    losses = {}
    for name in ("onednn_bfloat16", "float32", "mixed_bfloat16"):
        run = loop.train(DIGITS, tmp_path / name, overrides=[f"precision={name}"], **settings)
        losses[name] = run.evaluation["loss"]
        assert load_recipe(run.path / "recipe.yaml").precision == name
    assert found == [True, False, False]
    # Another precision rounds otherwise, and not by much.
    assert losses["mixed_bfloat16"] != losses["float32"]
    assert losses["onednn_bfloat16"] == pytest.approx(losses["float32"], rel=0.01)
    assert losses["mixed_bfloat16"] == pytest.approx(losses["float32"], rel=0.01)


def test_a_run_continues_in_the_precision_that_auto_was_when_it_began(tmp_path, monkeypatch):
    """It may continue on a machine where `auto` is something else."""
    settings = {"smoke": True, "progress": False, "overrides": ["precision=auto"]}
    monkeypatch.setattr(precision, "WORTH_CASTING", 0)
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    assert load_recipe(loop.train(DIGITS, tmp_path, **settings).path / "recipe.yaml").precision == "mixed_bfloat16"
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    again = loop.train(DIGITS, tmp_path, resume=True, **settings)
    assert load_recipe(again.path / "recipe.yaml").precision == "mixed_bfloat16"
