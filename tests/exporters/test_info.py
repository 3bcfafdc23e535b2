"""`kerasnets info FILE`: what an exported file says of itself, read without TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kerasnets.cli.app import run
from kerasnets.exporters.export import export

IN_A_FRESH_PROCESS = """
import sys, kerasnets.exporters.check
from kerasnets.cli.app import run
assert run(["info", sys.argv[1]]) == 0
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Form -> the report of LeNet-5's export, with random weights."""
    folder = tmp_path_factory.mktemp("info")
    places = {"tflite-dynamic": "lenet.tflite", "saved-model": "lenet"}
    return {
        form: export("lenet5_modern", form, output=folder / name, allow_random=True, examples=20)
        for form, name in places.items()
    }


def test_info_describes_an_exported_file(reports, capsys):
    for form, report in reports.items():
        assert run(["info", report["path"], "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["format"], told["labels"][3], told["bytes"]) == (form, "3", report["bytes"])


def test_info_and_the_check_of_a_file_need_no_tensorflow(reports):
    words = [sys.executable, "-c", IN_A_FRESH_PROCESS, reports["tflite-dynamic"]["path"]]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text in ("tflite-dynamic, ", "float32: pixels 0-255, grey", "10: 0, 1, 2", "the central 32 x 32 pixels"):
        assert text in done.stdout


def test_info_of_another_file_is_one_line(reports, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "cut.tflite").write_bytes(Path(reports["tflite-dynamic"]["path"]).read_bytes()[:-2000])
    for name, text in (("notes.txt", "a run folder, or an exported file"), ("cut.tflite", "is damaged")):
        assert run(["info", str(tmp_path / name)]) != 0
        error = capsys.readouterr().err.strip()
        assert text in error and "\n" not in error
