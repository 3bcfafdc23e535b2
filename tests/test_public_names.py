"""`import kerasnets`: light, complete, with functions that stay functions; and a model index equal to the registry."""

import inspect
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from make_tables import OUTSIDE, facts_of, families_table, models_table

import kerasnets
from kerasnets.architectures import catalogue  # noqa: F401  (registers every variant)
from kerasnets.model_index import read_model_index
from kerasnets.registry import get_variant, variant_names

ROOT = Path(__file__).parent.parent


def in_a_fresh_process(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "work",
    [
        "kerasnets.list_models('resnet*'), kerasnets.model_info('ResNet50'), dir(kerasnets)",
        "command('list', 'resnet*')",
        "command('info', 'resnet50')",
        "command('train', '--help')",
    ],
)
def test_names_and_facts_need_no_tensorflow(work):
    in_a_fresh_process(f"""
import sys, kerasnets

def command(*arguments):
    from kerasnets.cli.app import run
    assert run(list(arguments)) == 0

{work}
heavy = {{"tensorflow", "keras", "numpy"}} & set(sys.modules)
assert not heavy, heavy""")


def test_model_index_is_equal_to_the_registry():
    """All but the counts, which the tests of every network take from the models. `make tables` writes the index."""
    index, counts = read_model_index(), ("parameters", "multiply_adds")
    assert sorted(index) == variant_names()
    for name, facts in index.items():
        said = {key: facts[key] for key in facts if key not in (*counts, "stages", "checkpoints")}
        assert said == facts_of(get_variant(name)), name
        for key in counts:
            assert facts[key] == sum(stage[key] for stage in facts["stages"]) > 0, name


def test_tables_are_printed_from_the_model_index():
    rows, numbers = read_model_index(), json.loads(OUTSIDE.read_text(encoding="utf-8"))
    assert families_table(rows) in (ROOT / "README.md").read_text(encoding="utf-8")
    assert models_table(rows, numbers) in (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def test_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= 9000


def test_python_names_are_unique():
    taken = Counter(get_variant(name).python_name for name in variant_names())
    assert not [name for name, count in taken.items() if count > 1 or name in kerasnets._FUNCTIONS]


def test_every_public_name_is_what_its_file_defines():
    for name in set(dir(kerasnets)) - {"__version__"}:
        value = getattr(kerasnets, name)
        assert value.__name__ == name and value.__module__ == kerasnets._FUNCTIONS.get(name, "kerasnets"), name


def test_importing_every_file_leaves_public_names_as_they_are():
    in_a_fresh_process("""
import importlib, pkgutil, types, kerasnets
for module in pkgutil.walk_packages(kerasnets.__path__, "kerasnets."):
    if module.name != "kerasnets.__main__":
        importlib.import_module(module.name)
for name in dir(kerasnets):
    assert not isinstance(getattr(kerasnets, name), types.ModuleType), name""")


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
    assert info == kerasnets.model_info("ResNet50") and len(info.preprocessing.mean) == 3
    assert "lenet5_modern" in kerasnets.list_models(family="lenet")
    assert kerasnets.list_models("plain*_cifar", family="resnet")[0] == "plain110_cifar"
    with pytest.raises(ValueError, match="Did you mean 'resnet50'"):
        kerasnets.model_info("resnet51")
    with pytest.raises(ValueError, match="Did you mean 'resnet'.*Received: family='resnt'"):
        kerasnets.list_models(family="resnt")
