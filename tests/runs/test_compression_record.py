"""A run keeps what its compressed file holds."""

import json
import shutil

import kerasnets
from kerasnets.report.run_report import write_report


def test_the_report_of_a_run_shows_its_compressed_file(finished, tmp_path):
    run = shutil.copytree(finished.path, tmp_path / "digits")
    report = kerasnets.compress(run, tmp_path / "digits.knc", bits=4)
    assert json.loads((run / "compression.json").read_text()) == report
    assert f"{report['bytes']:,} bytes" in write_report(run).read_text()
