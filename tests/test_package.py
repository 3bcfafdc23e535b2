"""The wheel and the source distribution, as somebody installs them who has no checkout."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
# What a checkout has and no distribution needs.
NOT_SHIPPED = {".git", ".ci", ".venv", ".github", "runs", "dist", "build"}
# One program for both tests: it runs in an empty folder, with the `kerasnets` of the wheel.
COMMANDS = (
    "kerasnets --version",
    "kerasnets list resnet50",
    "kerasnets list --recipes",
    "kerasnets experiment list",
    "kerasnets train lenet5_digits --smoke",
)
PROGRAM = """
import json
import kerasnets
(answer,) = kerasnets.predict("runs/lenet5_digits_smoke", ["photo.png"])
print(json.dumps([kerasnets.__file__, kerasnets.ResNet50.__name__, answer]))
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> dict[str, Path]:
    """The two files that `hatchling build` makes."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"}


def test_the_wheel_has_every_file_of_the_package_and_the_recipes(distributions):
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    ours = {f"kerasnets/{name}" for name in files_of(ROOT / "kerasnets")}
    ours |= {f"kerasnets/experiment_files/{name}" for name in files_of(ROOT / "experiments")}
    assert names == ours | {f"kerasnets/recipes/{name}" for name in files_of(ROOT / "recipes")}
    assert {"kerasnets/py.typed", "kerasnets/__init__.pyi", "kerasnets/recipes/lenet5_digits.yaml"} <= names


def test_the_source_distribution_is_complete(distributions):
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    folders = ("kerasnets", "recipes", "experiments", "tests", "docs", "benchmarks", "saved_models")
    tracked = subprocess.run(["git", "ls-files", *folders, "*.*"], cwd=ROOT, capture_output=True, text=True)
    expected = set(tracked.stdout.split()) if tracked.returncode == 0 else {"pyproject.toml", "README.md"}
    assert {name for name in expected if name.partition("/")[0] not in NOT_SHIPPED} <= names


def test_the_package_s_page_has_no_relative_links(distributions):
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *distributions.values()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        text = wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode()
    links = re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL))
    assert links and all(link.startswith(("https://", "http://", "#")) for link in links), links


def use(python: Path, folder: Path) -> None:
    """Types the commands in an empty folder, classifies a photo and reads a builder's name."""
    Image.fromarray(np.full((32, 32), 7, "uint8")).save(folder / "photo.png")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    for command in COMMANDS:
        words = [python.with_name("kerasnets"), *command.split()[1:]]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
    done = subprocess.run(
        [python, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    file, name, answer = json.loads(done.stdout.splitlines()[-1])
    assert ROOT not in Path(file).parents and name == "ResNet50" and len(answer["predictions"]) == 5


def test_the_installed_wheel_works_in_an_empty_folder(distributions, tmp_path):
    """The packages that it needs are those of this environment; kerasnets is the wheel's."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    # A plain path: the .pth files of this environment, and so its editable kerasnets, are not read.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, distributions["wheel"]], check=True)
    (tmp_path / "empty").mkdir()
    use(python, tmp_path / "empty")


@pytest.mark.slow
def test_the_wheel_installs_everything_that_it_needs(distributions, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", distributions["wheel"]], check=True)
    (tmp_path / "empty").mkdir()
    use(python, tmp_path / "empty")


def test_every_version_of_python_that_is_named_is_allowed():
    facts = importlib.metadata.metadata("kerasnets")
    named = [c.rsplit(" ", 1)[1] for c in facts.get_all("Classifier") if "Python :: 3." in c]
    assert named[0] == facts["Requires-Python"].removeprefix(">=")
