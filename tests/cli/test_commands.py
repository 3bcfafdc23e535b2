"""Runs every command and every block of Python that README, docs, recipe headers and `--help` show.

They run as they are shown, with the recipe's own keys, but cheaply: two steps, small photos, and a local file of
weights instead of a download. One table lists what is not run, with the reason.
"""

import contextlib
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import fresh
import numpy as np
import pytest
from service_processes import free_port, started
from shown_commands import (
    RECIPES,
    ROOT,
    arguments_of,
    cheap,
    help_commands,
    make_project,
    network_of,
    page_commands,
    python_blocks,
    recipe_commands,
)

from kerasnets.cli.app import run

# Targets of the Makefile that README and docs name: why no test runs them, or which test runs the same.
NOT_RUN = {
    "make demo": "two minutes: `test_demo` runs it, marked slow",
    "make test": "it is what runs this",
    "make test-all": "it is what runs this",
    "make style": "test_layout.py runs ruff and import-linter",
    "make lowest": "it makes an environment of its own and runs a part of the tests in it",
    "make files": "minutes; it only prints names of files",
    "make mutations": "an hour: it runs the tests of thirty mutations",
    "make tables": "builds and counts every network: test_every_net.py compares the counts",
    "make docs": "needs the `docs` extra: `test_site_builds_without_a_warning`, marked slow, runs the same",
    "make parity": "needs torch, torchvision and timm: test_goldens.py compares with stored outputs",
    "make neutral": "fetches a file of Keras: tests/test_neutral.py runs a part of it, marked slow",
    "make backends": "needs JAX and PyTorch, and an hour: tests/layers/test_backends.py runs a part of it",
    "make distribution-check": "minutes: tests/distribution/test_distributed_steps.py runs its cases",
    "make kill-check": "minutes: tests/training/test_loop.py and tests/distribution/test_workers.py kill runs",
}
# Those without arguments are not looked for in pages; of `--help`, `test_demo` runs `kerasnets demo`.
SHOWN = [
    command
    for command in dict.fromkeys([*page_commands(), *help_commands()])
    if not command.startswith(("make ", "kerasnets data-service")) and command != "kerasnets demo"
    if "--engine ray" not in command  # tests/experiments/test_cluster.py runs it
    if "--evolution" not in command  # tests/report/test_visualization.py runs it, on a run that keeps its epochs
    if "data.service=" not in command  # `test_the_commands_of_the_data_service` runs these
]
HEAVY = (
    "kerasnets compress efficientnet",
    "kerasnets profile",
    "kerasnets benchmark data recipes/resnet50",
    "kerasnets benchmark recipe",  # tests/training/test_benchmark.py runs it
    "kerasnets evaluate runs/finetune",  # after its training, which is slow
    "kerasnets evaluate squeezenet",
    "kerasnets experiment run degradation",
    "kerasnets experiment run lenet_distortions --",
    "kerasnets experiment report runs/array",
    "kerasnets export runs/finetune",
    "kerasnets finetune",  # tests/exporters/test_finetune.py runs it
    "kerasnets launch --workers 2 recipes/lenet5_digits.yaml --set",
    "kerasnets predict efficientnet",
    "kerasnets predict photo.jpg --model efficientnet",
    "kerasnets train finetune",
    "kerasnets train recipes/f",
    "kerasnets train recipes/NAME",
    "kerasnets train recipes/resnet20_cifar",
)
# tests/runs/test_hub.py runs the page on sharing, beside a double of the hub.
BLOCKS = {name: code for name, code in python_blocks().items() if not name.startswith("sharing-")}
HEAVY_BLOCKS = ("weights-",)
# Recipes of small networks that train several steps in a call.
QUICK_RECIPES = ("lenet5_digits", "lenet5_mnist")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with everything that the commands of README and docs name: photos, weights, runs."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", "recipes/lenet5_digits.yaml", "--set", "epochs=2"]) == 0
    for name in ("seed0", "seed1", "seed2", "lenet5_qat"):
        shutil.copytree(folder / "runs" / "lenet5_digits", folder / "runs" / name)
    return folder


def weights_file(project: Path, name: str) -> None:
    """Writes the initial weights of a network, for commands and code that read a file."""
    from kerasnets.build import create_model

    if not (path := project / f"{name}.weights.h5").exists():
        create_model(name).save_weights(path)


def slow_where(heavy, values):
    return [pytest.param(v, marks=pytest.mark.slow if v.startswith(heavy) else ()) for v in values]


@pytest.mark.parametrize("command", slow_where(HEAVY, SHOWN))
def test_command_of_readme_docs_and_help(command, project, monkeypatch):
    monkeypatch.chdir(project)
    shutil.rmtree("photos_shards", ignore_errors=True)
    words = cheap(arguments_of(command))
    for word in words:
        if word.endswith(".weights.h5"):
            weights_file(project, word.rpartition("=")[2].removesuffix(".weights.h5"))
        if word == "saved_models/lenet5_digits.tflite" and not Path(word).exists():
            assert run(["export", "runs/lenet5_digits", "--to", "tflite", "--examples", "8"]) == 0
    if words[:2] == ["experiment", "report"]:
        folder = words[2] if "/" in words[2] else f"runs/experiments/{words[2]}"
        assert run(cheap(["experiment", "run", "lenet_distortions", "--output", folder])) == 0
    assert run(words) == 0, words


def test_every_make_command_is_a_target():
    shown = {command for command in page_commands() if command.startswith("make ")}
    assert shown <= set(NOT_RUN), "say why it is not run"
    for command in NOT_RUN:
        subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_the_commands_of_the_data_service(project, monkeypatch):
    monkeypatch.chdir(project)
    shown = [command for command in page_commands(once=False) if "5050" in command]
    port = str(free_port())
    *servers, training = [command.replace("5050", port).split()[1:] for command in shown]
    with contextlib.ExitStack() as stack:
        for words in servers:
            assert words[0] == "data-service"
            stack.enter_context(started(*words[1:]))
        assert run(cheap(training)) == 0


@pytest.mark.slow
def test_demo(tmp_path):
    make_project(tmp_path)
    subprocess.run([sys.executable, "-m", "kerasnets", "demo"], cwd=tmp_path, check=True)


def in_the_tests(code: str) -> tuple[str, set[str]]:
    """Returns code that reads weights from local files, and the models whose files it needs."""
    files = {
        '"resnet18.safetensors"': "resnet18",
        '"efficientnet-lite0.pth"': "efficientnet_lite0",
        'weights="imagenet"': "resnet50_v1_5",
        'weights="a1_in1k"': "resnet50_v1_5",
        '"file.safetensors"': "resnet50_v1_5",
        '"file.pth"': "resnet18",
    }
    needed = {name for text, name in files.items() if text in code}
    for text, name in files.items():
        key = "weights=" if text.startswith("weights=") else ""
        code = code.replace(text, f'{key}"{name}.weights.h5"')
    return code, needed


@pytest.mark.parametrize("name", slow_where(HEAVY_BLOCKS, BLOCKS))
def test_block_of_python(name, project, monkeypatch):
    import kerasnets
    from kerasnets.training.loop import train

    monkeypatch.chdir(project)
    cheap_train = functools.partial(train, overrides=["epochs=2"], overwrite=True)
    monkeypatch.setattr(kerasnets, "train", cheap_train, raising=False)
    code, needed = in_the_tests(BLOCKS[name])
    for network in needed:
        weights_file(project, network)
    scope = {"kerasnets": kerasnets, "pixels": np.zeros((2, 224, 224, 3), "uint8")}
    if "(model" in code and "model = " not in code:
        scope["model"] = kerasnets.ResNet18(weights=None)
    exec(compile(code, name, "exec"), scope)


def run_recipes(commands: dict[Path, list[str]], folder: Path, devices: int) -> None:
    """Runs the commands of recipes, in one process, in a project of their own."""
    make_project(folder)
    lines = []
    for path, each in commands.items():
        if path.stem.endswith("photos"):
            weights_file(folder, network_of(f"recipes/{path.name}"))
        data = {"DIR": "cifar10" if "cifar" in path.stem else "photos"}
        lines += [cheap(arguments_of(command, **data, RUN=f"runs/{path.stem}")) for command in each]
    done = fresh.run(ROOT / "tests" / "support" / "shown_commands.py", str(devices), json.dumps(lines), cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_commands_of_a_recipe_header(path, tmp_path):
    commands = recipe_commands(path)
    assert commands or "python benchmarks/" in path.read_text(encoding="utf-8")
    run_recipes({path: commands}, tmp_path, 1)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([p for p in RECIPES if p.stem in QUICK_RECIPES], id="quick"),
        *(pytest.param([p], marks=pytest.mark.slow, id=p.stem) for p in RECIPES if p.stem not in QUICK_RECIPES),
    ],
)
def test_recipe_on_two_devices(paths, tmp_path):
    """With the recipe's own keys, the number of steps in a call included."""
    assert paths
    run_recipes({path: [f"kerasnets train recipes/{path.name}"] for path in paths}, tmp_path, 2)
