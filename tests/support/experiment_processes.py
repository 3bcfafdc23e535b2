"""Experiments in processes of their own, which tests kill, and the comparison of two experiments to the last bit."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
# What `kerasnets experiment run` does, without the seconds in which TensorFlow starts.
COMMAND = "import sys; from kerasnets.cli.app import run; sys.exit(run(['experiment', 'run', *{}]))"
WHOLE_RUNS = ("fast/seed0", "fast/seed1", "slow/seed0", "slow/seed1")


def start(*arguments, cwd) -> subprocess.Popen:
    """Starts `kerasnets experiment run ...` in a process group of its own."""
    command = [sys.executable, "-m", "kerasnets", "experiment", "run", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(condition, process, seconds=240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def steps(folder: Path) -> int:
    """Returns the steps of the newest checkpoint of a run."""
    found = re.search(rb'"step\\*": (\d+)', (folder / "checkpoints" / "last.safetensors").read_bytes()[:4000])
    return int(found[1])


def same_numbers(ours: Path, theirs: Path) -> None:
    """Compares all runs of two experiments to the last bit."""
    for name in WHOLE_RUNS:
        a, b = (load_file(folder / name / "checkpoints" / "last.safetensors") for folder in (ours, theirs))
        assert a.keys() == b.keys()
        for key, value in a.items():
            np.testing.assert_array_equal(value, b[key], err_msg=f"{name} {key}")
        for file in ("evaluation.json", "measures.json"):
            assert (ours / name / file).read_bytes() == (theirs / name / file).read_bytes(), name
