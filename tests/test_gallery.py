"""The gallery of the documentation: every program has a title, uses public names, and runs in an empty folder."""

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import kerasnets

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted((ROOT / "docs" / "gallery").glob("*.py"))
each = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)


def test_there_are_twelve():
    """sphinx-gallery runs files called plot_*.py and only shows others."""
    assert len([program for program in PROGRAMS if program.name.startswith("plot_")]) == len(PROGRAMS) >= 12


@each
def test_program_has_a_title_and_a_picture_and_is_short(program):
    text = program.read_text(encoding="utf-8")
    title, line, empty, *story = ast.get_docstring(ast.parse(text)).splitlines()
    assert re.fullmatch("=+", line) and len(line) == len(title) and not empty and story
    assert "plt.show()" in text and "print(" in text and len(text.splitlines()) <= 90


@each
def test_program_uses_public_names_only(program):
    tree = ast.parse(program.read_text(encoding="utf-8"))
    imports = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imports += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert "kerasnets" in imports and not any(name.startswith("kerasnets.") for name in imports)
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "kerasnets"}
    assert used and used <= set(dir(kerasnets))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("matplotlib") is None, reason='needs `pip install -e ".[docs]"`')
@each
def test_program_runs_and_leaves_nothing_behind(program, tmp_path):
    environment = os.environ | {"MPLBACKEND": "Agg"}
    settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, program], **settings, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and not list(tmp_path.iterdir())
