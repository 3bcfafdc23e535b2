"""The summary of a run folder: finished, unfinished, and what is no run."""

import json
import shutil
import subprocess
import sys

import pytest

import kerasnets
from kerasnets.cli.app import run


def test_a_finished_run(finished, capsys):
    found = kerasnets.summary(finished)
    assert (found.state, found.model, found.epochs, found.epochs_planned) == ("finished", "lenet5_modern", 2, 2)
    assert found.parameters == finished.model.count_params() and found.examples == 360
    assert found.top1 == finished.evaluation["top1"] and found.best_epoch in (1, 2)
    assert f"{100 * found.top1:.2f} % top-1 of 360 images" in str(found) and "model.keras" in found.files
    assert run(["info", str(finished.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == found.top1


def test_an_unfinished_run_with_half_a_line(finished, tmp_path):
    folder = tmp_path / "part"
    shutil.copytree(finished.path, folder)
    (folder / "evaluation.json").unlink()
    lines = (folder / "log.jsonl").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if '"epoch", "epoch": 1' in line)
    (folder / "log.jsonl").write_text("\n".join(lines[: first + 1]) + '\n{"event": "ep')
    found = kerasnets.summary(folder)
    assert (found.state, found.epochs, found.top1) == ("unfinished", 1, None) and "not yet" in str(found)


def test_no_tensorflow_is_needed(finished):
    program = (
        f"import sys, kerasnets; kerasnets.summary({str(finished.path)!r}); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no run"):
        kerasnets.summary(tmp_path)
