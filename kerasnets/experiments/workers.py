"""Processes of this machine that share the runs of an experiment; one that is killed is started again."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from kerasnets.experiments.read import load_experiment
from kerasnets.experiments.result import EXPERIMENT

# How often a process is started again after it was killed. Its runs go on from their checkpoints.
RESTARTS = 3
PACKAGE = Path(__file__).parents[2]


def run_in_processes(folder: Path, jobs: int, smoke: bool) -> None:
    """Does all runs of the experiment in `folder`, each of `jobs` processes an equal share.

    Raises:
        RuntimeError: a process failed, or was killed more often than it is started again.
    """
    with tempfile.TemporaryDirectory() as logs:
        running = {number: _start(folder, number, jobs, smoke, logs) for number in range(jobs)}
        restarts = dict.fromkeys(running, 0)
        try:
            while running:
                for number, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[number]
                    if process.returncode < 0 and restarts[number] < RESTARTS:
                        restarts[number] += 1
                        running[number] = _start(folder, number, jobs, smoke, logs)
                    elif process.returncode:
                        raise RuntimeError(_last_line(Path(logs, str(number)), process.returncode))
                time.sleep(0.1)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()


def _start(folder: Path, number: int, jobs: int, smoke: bool, logs: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "kerasnets.experiments.workers", os.fspath(folder), str(number), str(jobs)]
    path = os.pathsep.join(filter(None, (os.fspath(PACKAGE), os.environ.get("PYTHONPATH"))))
    with open(Path(logs, str(number)), "wb") as log:
        return subprocess.Popen(
            command + ["smoke"] * smoke,
            stdin=subprocess.PIPE,  # ends with this process, and with it the worker
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=os.environ | {"PYTHONPATH": path},
        )


def _last_line(log: Path, code: int) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines and code > 0 else f"A process of the experiment ended with code {code}."


def main(arguments: list[str]) -> None:
    """Does the share of one process: folder, number, count, and perhaps `smoke`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder, number, count, *smoke = arguments
    from kerasnets.experiments.run import run_share

    experiment = load_experiment(Path(folder) / EXPERIMENT, smoke=bool(smoke))
    run_share(experiment, Path(folder), (int(number), int(count)), bool(smoke), progress=False)


def _end_with_parent() -> None:
    """Ends this process at once when the one that started it has ended. Runs are left as if killed."""
    os.read(0, 1)  # not `sys.stdin`, whose lock this thread would hold when the interpreter ends
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
