"""Usual work with Keras on networks of this package, in fresh processes that import only `kerasnets` and Keras."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import fresh
import pytest

import kerasnets

SUPPORT = Path(__file__).parent / "support"
PACKAGE = Path(kerasnets.__file__).parent
QUICK = (
    "load_a_compiled_model",
    "load_a_nested_model",
    "rebuild_from_a_description",
    "load_an_exported_model",
    "transfer_learning",
    "stock_callbacks",
)
SLOW = (
    "sequential",
    "backup_and_restore",
    "tensorboard",
    "export_litert",
    "export_onnx",
    "mixed_precision",
    "compiled_by_xla",
)
# Workflow -> packages that it needs and kerasnets does not, and the extra that installs them.
NEEDS = {"tensorboard": (("tensorboard",), "tensorboard"), "export_onnx": (("tf2onnx", "onnxruntime"), "onnx")}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Returns a folder with trained networks in every form that Keras writes, made by a process that has ended."""
    folder = tmp_path_factory.mktemp("saved")
    program = "import keras_workflows, pathlib, sys; keras_workflows.save_everything(pathlib.Path(sys.argv[1]))"
    done = fresh.run("-c", program, folder, cwd=SUPPORT)
    assert done.returncode == 0, done.stderr
    return folder


def run_workflows(folder, names) -> dict[str, str | None]:
    """Runs workflows in one fresh process and returns the error of each, or `None`."""
    done = fresh.run(SUPPORT / "keras_workflows.py", folder, *names)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    missing = {name: f"the process ended early: {done.stderr[-2000:]}" for name in names}
    return missing | {name: error for each in found for name, error in each.items()}


@pytest.fixture(scope="module")
def quick(saved):
    return run_workflows(saved, QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_workflow(name, quick):
    assert quick[name] is None, quick[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_heavy_workflow(name, tmp_path):
    packages, extra = NEEDS.get(name, ((), ""))
    if lacking := [package for package in packages if not importlib.util.find_spec(package)]:
        pytest.skip(f"{lacking[0]} is not installed: pip install 'kerasnets[{extra}]'")
    error = run_workflows(tmp_path, [name])[name]
    assert error is None, error


LOAD = """
import sys
for name in sys.argv[3:]:
    __import__(name)
import keras
model = keras.models.load_model(sys.argv[1])
lacking = [name for name in sys.argv[2].split() if keras.saving.get_registered_object(name) is None]
assert not lacking, lacking
"""
# The last order begins inside the package, with a layer that imports another layer.
ORDERS = [("keras", "kerasnets"), ("kerasnets", "tensorflow"), ("kerasnets.layers.recomputed",)]


@pytest.mark.parametrize("imports", ORDERS, ids=" ".join)
def test_all_saved_classes_are_registered_whatever_is_imported_first(imports, saved):
    registered = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found = re.findall(r"@keras.saving.register_keras_serializable\((.*)\)\n(?:class|def) (\w+)", path.read_text())
        assert len(found) == path.read_text().count("@keras.saving.register_"), path
        registered += [f"kerasnets>{name}" for _, name in found]
    assert len(registered) > 15
    command = [sys.executable, "-c", LOAD, saved / "compiled.keras", " ".join(registered), *imports]
    subprocess.run(command, check=True)
