"""Whole jobs of two workers, as real processes on this machine, compared with a run of one process."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kerasnets.runs import checkpoints

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "recipes" / "lenet5_digits.yaml"
LAUNCH = ("launch", "--workers", "2")
SETTINGS = [
    "epochs=2", "steps_per_epoch=30", "batch_size=16", "steps_per_execution=5", "checkpoint.every_steps=5",
    "evaluation={max_batches: 3, batch_size: 50, keep: best}", "ema.momentum=0.9",
    "optimizer={name: sgd, learning_rate: 0.02, clip_norm: 1, weight_decay: 1e-3}",
]  # fmt: skip


def start(folder, *arguments, command=LAUNCH) -> subprocess.Popen:
    """Starts the job. `finish` returns its output."""
    overrides = [part for setting in SETTINGS for part in ("--set", setting)]
    line = [sys.executable, "-m", "kerasnets", *command, str(DIGITS), "--run-dir", str(folder), *overrides, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, code: int = 0) -> str:
    """Waits for a job and returns what it wrote to standard error."""
    _, errors = process.communicate(timeout=900)
    if process.returncode != code:
        raise RuntimeError(f"The job ended with {process.returncode}, not {code}: {errors[-3000:]}")
    return errors


def until_step(folder, step: int, process) -> None:
    """Waits for a checkpoint of `step` or a later one."""
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"The job ended before step {step}: {process.communicate()[1][-3000:]}")
        try:
            if checkpoints.load_newest(folder / "checkpoints")[1]["step"] >= step:
                return
        except (TypeError, RuntimeError):  # no checkpoint yet, or one that is being renamed
            pass
        time.sleep(0.2)


def worker(launcher, index: int) -> int:
    """Returns the process id of a worker, a child of the launcher."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            environment = (place / "environ").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == launcher.pid and f'"index": {index}'.encode() in environment:
            return int(place.name)
    raise RuntimeError(f"There is no worker {index}.")


def difference(ours, theirs) -> float:
    """Returns the largest relative difference, by norm, of weights, averages and optimizer states of two runs."""
    (a, state_a, _), (b, state_b, _) = (checkpoints.load_newest(run / "checkpoints") for run in (ours, theirs))
    assert state_a["step"] == state_b["step"] and a.keys() == b.keys()
    names = [name for name in a if name.startswith(("network", "average", "optimizer"))]
    norms = [(np.linalg.norm(a[n].astype("f8") - b[n]), np.linalg.norm(b[n].astype("f8"))) for n in names]
    return float(max(gap / max(norm, 1e-6) for gap, norm in norms))


def killed(folder, index: int, step: int = 10) -> str:
    """Runs the job, kills a worker after `step`, and returns what the launcher wrote to standard error."""
    process = start(folder)
    until_step(folder, step, process)
    os.kill(worker(process, index), signal.SIGKILL)
    return finish(process)


def on_jobs():
    """Yields (case, engine, largest relative difference)."""
    with tempfile.TemporaryDirectory() as place:
        alone, together = Path(place) / "alone", Path(place) / "together"
        finish(start(alone, command=("train",)))
        finish(start(together))
        yield "a whole run of 60 steps, compared with one process", "launch", difference(together, alone)
        for index, name in enumerate(("the chief", "a worker")):
            killed(Path(place) / f"killed{index}", index)
            gap = difference(Path(place) / f"killed{index}", together)
            yield f"{name} killed and restarted, compared with undisturbed", "launch", gap
