"""Two network namespaces, as two machines, train one job. The cable between them is cut, or slow and lossy."""

import json
import os
import subprocess
import sys
import time

import pytest
from distribution_check import TOLERANCE
from distribution_jobs import DIGITS, ROOT, SETTINGS, difference, finish, start, until_step
from namespaces import HOSTS, two_machines, why_not

pytestmark = pytest.mark.slow


@pytest.fixture
def machines():
    if reason := why_not():
        pytest.skip(reason)
    with two_machines() as found:
        yield found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    finish(start(folder, command=("train",)))
    return folder


def start_on(machines, folder, *arguments) -> list[subprocess.Popen]:
    """Starts a job with a worker on each machine. All see the same files."""
    overrides = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "kerasnets",
        "train",
        str(DIGITS),
        "--run-dir",
        str(folder),
        *overrides,
        *arguments,
    ]
    cluster = {"worker": [f"{host}:4321" for host in HOSTS]}
    workers = []
    for index in range(2):
        place = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CONFIG": place, "CUDA_VISIBLE_DEVICES": "-1"}
        process = subprocess.Popen(
            [*machines.command(index), *command],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        workers.append(process)
    return workers


def finish_all(workers, code: int = 0) -> list[str]:
    try:
        return [finish(worker, code) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def test_two_machines_train_the_weights_of_one(machines, alone, tmp_path):
    finish_all(start_on(machines, tmp_path / "run"))
    assert difference(tmp_path / "run", alone) <= 10 * TOLERANCE


def test_a_cut_cable_ends_both_and_the_job_resumes(machines, alone, tmp_path):
    workers = start_on(machines, tmp_path / "run")
    until_step(tmp_path / "run", 10, workers[0])
    machines.cable("down")
    begun = time.monotonic()
    try:
        errors = finish_all(workers, 75)
    finally:
        machines.cable("up")
    print(f"both ended {time.monotonic() - begun:.0f} s after the cut")
    assert all("go on with --resume" in text or "with --resume" in text for text in errors)
    finish_all(start_on(machines, tmp_path / "run", "--resume"))
    assert difference(tmp_path / "run", alone) <= 10 * TOLERANCE


def test_delay_and_loss_only_slow_a_job_down(alone, tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    with two_machines(delay=0.05, loss=0.01) as machines:
        finish_all(start_on(machines, tmp_path / "run"))
    assert difference(tmp_path / "run", alone) <= 10 * TOLERANCE
