"""The recipe's precision: what `auto` becomes, and that nothing of it stays behind."""

import keras
import pytest
import tensorflow as tf

from kerasnets.distribution import precision
from kerasnets.recipe.read import load_recipe
from kerasnets.training.loop import train

OPTION = "auto_mixed_precision_onednn_bfloat16"


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        ([], "fpu avx2", "float32"),
        ([], "fpu avx512f avx512_bf16", "onednn_bfloat16"),
        ([(7, 5)], "fpu avx512_bf16", "float32"),
        ([(8, 0), (9, 0)], "fpu", "mixed_bfloat16"),
        ([(8, 0), (7, 5)], "fpu", "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_machine_has_it(monkeypatch, tmp_path, capabilities, flags, expected):
    facts = tmp_path / "cpuinfo"
    facts.write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(precision, "PROCESSOR", facts)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(range(len(capabilities))))
    details = lambda gpu: {"compute_capability": capabilities[gpu]}  # noqa: E731
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    assert precision.resolve("auto") == expected
    assert precision.resolve("float32") == "float32"


def test_nothing_stays_behind():
    with precision.computing_in("onednn_bfloat16"):
        assert keras.config.dtype_policy().name == "float32"
        assert tf.config.optimizer.get_experimental_options()[OPTION]
        with precision.computing_in("mixed_bfloat16"):
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
            assert not tf.config.optimizer.get_experimental_options()[OPTION]
        assert tf.config.optimizer.get_experimental_options()[OPTION]
    assert not tf.config.optimizer.get_experimental_options().get(OPTION)
    assert keras.config.dtype_policy().name == "float32"


def test_a_run_writes_down_what_it_computed_in(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    run = train("recipes/lenet5_digits.yaml", tmp_path / "run", smoke=True, overrides=["precision=auto"])
    assert load_recipe(run.path / "recipe.yaml").precision == "onednn_bfloat16"
    assert 0 <= run.evaluation["loss"] < 100
