"""An experiment on a real local Ray with two workers, one of which is killed."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml
from experiment_processes import ROOT, WHOLE_RUNS, same_numbers, start, wait_for
from small_experiment import SMALL

pytestmark = pytest.mark.slow


def workers(mark: str) -> list[int]:
    """Returns the processes of this test's own Ray that do a run: those with its mark in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cmdline").read_bytes().startswith(b"ray::_run_one"):
                found += [int(process.name)] if mark.encode() in (process / "environ").read_bytes() else []
        except OSError:
            continue
    return found


def test_a_killed_worker_of_ray_is_replaced(tmp_path):
    pytest.importorskip("ray", reason='needs `pip install -e ".[ray]"`')
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL | {"resources": {"each": {"cpus": 1}}}, sort_keys=False))
    alone = start("small.yaml", "--output", "alone", cwd=tmp_path)
    assert alone.wait(300) == 0, alone.stderr.read().decode()
    mark = uuid.uuid4().hex
    command = [
        sys.executable,
        "-m",
        "kerasnets",
        "experiment",
        "run",
        "small.yaml",
        "--engine",
        "ray",
        "--output",
        "ray",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_RUN_OF_THIS_TEST": mark}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    logs = [tmp_path / "ray" / name / "log.jsonl" for name in WHOLE_RUNS]
    wait_for(lambda: sum(log.exists() and '"epoch": 1' in log.read_text() for log in logs) >= 1, process)
    wait_for(lambda: len(workers(mark)) == 2, process)
    found = workers(mark)
    os.kill(found[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors.decode()
    same_numbers(tmp_path / "ray", tmp_path / "alone")
