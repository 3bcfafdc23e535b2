"""A run keeps what its compressed file holds."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from kerasnets.cli.app import run
from kerasnets.exporters.compress import compress
from kerasnets.exporters.open_network import open_network


def test_the_report_of_a_run_shows_its_compressed_file(finished, tmp_path, capsys):
    folder = shutil.copytree(finished.path, tmp_path / "digits")
    assert run(["compress", str(folder), "--bits", "4", "--json", "-o", str(tmp_path / "digits.knc")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads((folder / "compression.json").read_text()) == report
    assert f"{report['bytes']:,} bytes" in (folder / "report.html").read_text()


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder that even root cannot write")
def test_a_run_folder_that_cannot_be_written_is_found_before_the_work(finished, tmp_path):
    target = dataclasses.replace(open_network(finished.path), run=Path("/proc"))
    with pytest.raises(OSError, match="run folder '/proc' should be writable, for its compression.json, and is not: "):
        compress(target, tmp_path / "digits.knc", bits=4)
    assert not list(tmp_path.iterdir())
