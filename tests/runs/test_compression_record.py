"""A run keeps what its compressed file holds."""

import json
import shutil

from kerasnets.cli.app import run


def test_the_report_of_a_run_shows_its_compressed_file(finished, tmp_path, capsys):
    folder = shutil.copytree(finished.path, tmp_path / "digits")
    assert run(["compress", str(folder), "--bits", "4", "--json", "-o", str(tmp_path / "digits.knc")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads((folder / "compression.json").read_text()) == report
    assert f"{report['bytes']:,} bytes" in (folder / "report.html").read_text()
