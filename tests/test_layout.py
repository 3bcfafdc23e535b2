"""The layout of the source: what ruff and import-linter check (pyproject.toml), and what neither of them can."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import MUTATIONS, find

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerasnets"
FILES = sorted(PACKAGE.rglob("*.py"))
LONG_FAMILIES = ("inception", "nasnet", "efficientnet")
NOT_FAMILIES = {"__init__", "catalogue", "variant"}
CONTRACTS = set(re.findall(r'^id = "(\w+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
# Contract of pyproject.toml -> a file and an import in it that the contract forbids.
FORBIDDEN = {
    "order": ("kerasnets/blocks/head.py", "from kerasnets.training import loop"),
    "order, inside a function": ("kerasnets/recipe/read.py", "def f():\n    from kerasnets.cli import app"),
    "families": ("kerasnets/architectures/nin.py", "from kerasnets.architectures import zfnet"),
    "data": ("kerasnets/data/labels.py", "from kerasnets.graph import cost"),
    "data, another layer": ("kerasnets/data/labels.py", "from kerasnets.layers import rbf"),
    "light": ("kerasnets/recipe/read.py", "import keras"),
    "public_names": ("kerasnets/weights/files.py", "import kerasnets"),
}
# Rule of ruff -> lines that break it.
AGAINST_RUFF = {
    "C901": "def f(x):\n" + "".join(f"    if x == {i}:\n        return {i}\n" for i in range(11)),
    "PLR0913": "def f(a, b, c, d, e, *, f, g, h, i):\n    pass\n",
    "PLR0915": "def f(x):\n" + "    x += 1\n" * 31,
    "PLW0603": "COUNT = 1\n\n\ndef f():\n    global COUNT\n    COUNT = 2\n",
    "SLF001": "def f(model):\n    return model._nodes\n",
    "TID251": "import functools\n\n\n@functools.cache\ndef f():\n    pass\n",
    "TID252": "from .nin import f\n",
    "TID253": "import matplotlib.pyplot\n",
}


RUFF = ("-m", "ruff", "check", "--output-format", "concise")
LINT_IMPORTS = ("-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache")


def run(*arguments, folder=ROOT, text=None) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": os.fspath(folder), "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, input=text, capture_output=True, text=True)


def test_ruff_finds_nothing():
    for arguments in ((*RUFF, "."), ("-m", "ruff", "format", "--check", ".")):
        done = run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_import_linter_finds_nothing():
    done = run(*LINT_IMPORTS)
    assert done.returncode == 0 and f"{len(CONTRACTS)} kept, 0 broken" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "kerasnets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize("case", FORBIDDEN)
def test_import_linter_finds_a_forbidden_import(case, copy):
    file, line = FORBIDDEN[case]
    source = (copy / file).read_text(encoding="utf-8")
    (copy / file).write_text(f"{source}\n{line}\n", encoding="utf-8")
    try:
        done = run(*LINT_IMPORTS, "--contract", case.partition(",")[0], folder=copy)
    finally:
        (copy / file).write_text(source, encoding="utf-8")
    assert done.returncode == 1 and "1 broken" in done.stdout, done.stdout + done.stderr


def test_every_contract_is_broken_once():
    assert CONTRACTS == {case.partition(",")[0] for case in FORBIDDEN}


@pytest.mark.parametrize("rule", AGAINST_RUFF)
def test_ruff_finds_what_breaks_a_rule(rule):
    done = run(*RUFF, "--stdin-filename", "kerasnets/architectures/nin.py", "-", text=AGAINST_RUFF[rule])
    assert f": {rule} " in done.stdout, done.stdout + done.stderr


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name_of(path))


def check_none(wrong: list[str]) -> None:
    assert not wrong, "\n" + "\n".join(wrong)


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return called in {"dict", "list", "set", "defaultdict", "Counter", "OrderedDict", "deque", "count"}
    return isinstance(value, ast.ListComp | ast.DictComp | ast.SetComp) or (
        isinstance(value, ast.List | ast.Dict | ast.Set) and not ast.unparse(value).strip("[]{}")
    )


def test_no_module_keeps_state_but_the_registry():
    """A table written out in full is a constant; an empty or computed container is state."""
    wrong = []
    for path in FILES:
        if path != PACKAGE / "registry.py":
            assert "_REGISTRY" not in path.read_text(encoding="utf-8"), f"{name_of(path)}: use the registry's functions"
        for node in tree_of(path).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and is_mutable(node.value):
                wrong.append(f"{name_of(path)}: {ast.unparse(node)[:60]}")
    assert len(wrong) == 1 and wrong[0].startswith("kerasnets/registry.py: _REGISTRY"), wrong


def most_lines(path: Path) -> int:
    if path.parent == PACKAGE / "architectures" and path.stem not in NOT_FAMILIES:
        return 300 if path.stem.startswith(LONG_FAMILIES) else 200
    return 300


def test_files_are_small():
    wrong = []
    for path in [*FILES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > most_lines(path):
            wrong.append(f"{name_of(path)}: {lines} lines, {most_lines(path)} allowed")
    check_none(wrong)


def code_lines(function: ast.FunctionDef, source: list[str]) -> int:
    """Counts the lines of the body that are neither docstring nor blank nor comment."""
    body = function.body[ast.get_docstring(function) is not None :]
    lines = source[body[0].lineno - 1 : body[-1].end_lineno] if body else []
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_functions_are_short():
    wrong = []
    for path in FILES:
        source = path.read_text(encoding="utf-8").splitlines()
        for function in ast.walk(tree_of(path)):
            if isinstance(function, ast.FunctionDef) and (size := code_lines(function, source)) > 40:
                wrong.append(f"{name_of(path)}:{function.lineno}: {function.name} has {size} code lines, 40 allowed")
    check_none(wrong)


PATTERNS = ("kerasnets/**/*.py", "tests/**/*.py", "benchmarks/*.py", "docs/**/*.md", "recipes/*", "*.md", "Makefile")
TEXTS = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern)) if path.is_file()]


def test_no_paths_of_one_machine():
    pattern = re.compile(r"(?<![\w.])/(home|root|Users|work|mnt|opt|scratch)/\w")
    wrong = []
    for path in TEXTS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line) and path != Path(__file__):
                wrong.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    check_none(wrong)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_has_its_line(mutation):
    """`make mutations` changes this line; it takes half an hour and so runs seldom."""
    assert find(mutation, ROOT)
