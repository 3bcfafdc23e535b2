"""`import kerasnets`: light, lazy, complete; and the model index that it answers from is equal to the registry."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kerasnets
from kerasnets.model_index import read_model_index, readme_table, row_facts

ROOT = Path(__file__).parent.parent


def test_importing_the_package_is_light():
    program = """import sys, kerasnets
kerasnets.list_models("resnet*"), kerasnets.model_info("ResNet50"), dir(kerasnets)
assert not {"tensorflow", "keras", "numpy", "typer"} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_ledger_is_equal_to_the_registry():
    """All but the counts, which the every-net tests take from the networks. `make tables` brings it up to date."""
    from kerasnets.architectures import catalogue  # noqa: F401  (registers every variant)
    from kerasnets.registry import get_variant, variant_names

    rows = read_model_index()
    assert sorted(rows) == variant_names()
    for name, facts in rows.items():
        said = {key: value for key, value in facts.items() if key not in ("parameters", "multiply_adds")}
        assert said == row_facts(get_variant(name)), name
        assert facts["parameters"] > 0 and facts["multiply_adds"] > 0, name


def test_readme_table_is_printed_from_the_ledger():
    numbers = json.loads((ROOT / "tests" / "outside_numbers.json").read_text())
    assert readme_table(read_model_index(), numbers) in (ROOT / "README.md").read_text()


def test_python_names_are_unique():
    names = [row["python_name"] for row in read_model_index().values()]
    assert len(set(names)) == len(names)


def test_every_public_name_resolves():
    for name in dir(kerasnets):
        assert getattr(kerasnets, name) is not None, name


def test_rooms_do_not_take_the_place_of_functions():
    from kerasnets.exporters.export import export
    from kerasnets.graph.cost import complexity

    assert kerasnets.complexity is complexity and kerasnets.export is export


def test_builders_show_a_real_signature():
    parameters = list(inspect.signature(kerasnets.ResNet50).parameters)
    assert parameters[:8] == [
        "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation", "name",
    ]  # fmt: skip
    assert kerasnets.ResNet50.__name__ == "ResNet50" and "Deep Residual Learning" in inspect.getdoc(kerasnets.ResNet50)


@pytest.mark.parametrize(("name", "meant"), [("Resnet50", "ResNet50"), ("lst_models", "list_models")])
def test_an_unknown_name_is_answered_with_the_closest(name, meant):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.*{meant}"):
        getattr(kerasnets, name)


def test_model_info_and_list_models():
    info = kerasnets.model_info("resnet50")
    assert (info.python_name, info.input_shape, info.paper.year) == ("ResNet50", (224, 224, 3), 2015)
    assert len(info.preprocessing.mean) == 3
    assert "lenet5_modern" in kerasnets.list_models(family="lenet")
    with pytest.raises(ValueError, match="Did you mean 'resnet50'"):
        kerasnets.model_info("resnet51")
    with pytest.raises(ValueError, match="Received: family='resnt'"):
        kerasnets.list_models(family="resnt")
