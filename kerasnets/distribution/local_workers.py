"""The worker processes of a job for several machines, all on this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

# Seconds for the other workers to end after the first: to write a checkpoint on SIGTERM, or to notice its failure.
STOPPING, NOTICING = 60, 3


def run_with_restarts(command: list[str], count: int, restarts: int) -> int:
    """Runs a command as `run_workers` does, again with `--resume` whenever a worker was killed by a signal.

    Returns:
        The exit code.

    Raises:
        RuntimeError: a worker was killed after the last restart too.
    """
    code = run_workers(command, count)
    for restart in range(1, restarts + 1):
        if code >= 0:
            break
        name = signal.Signals(-code).name
        print(f"warning: a worker was killed by {name}; restart {restart} of {restarts}", file=sys.stderr, flush=True)
        code = run_workers([*command, "--resume"], count)
    if code < 0:
        raise RuntimeError(f"A worker was killed by {signal.Signals(-code).name}, after {restarts} restarts too.")
    return code


def run_workers(command: list[str], count: int) -> int:
    """Runs a command in `count` processes, the workers of one job, until all have ended.

    Returns:
        The exit code of the worker that made the job end: the negative number of the signal that killed it, or the
        first of 2, 1, 130, 75 and 0 that a worker ended with.
    """
    ports = free_ports(count)
    with contextlib.ExitStack() as stack:
        workers, messages = [], [None] + [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count - 1)]
        stack.callback(_end, workers)
        for index, stderr in enumerate(messages):
            output = {"stderr": stderr, "stdout": subprocess.DEVNULL} if index else {}
            workers.append(subprocess.Popen(command, env=worker_environment(ports, index), **output))
        stack.enter_context(_signals_forwarded(workers))
        while not any(worker.poll() for worker in workers) and any(worker.poll() is None for worker in workers):
            time.sleep(0.1)
        killed = min(worker.poll() or 0 for worker in workers)
        if killed == 0:
            _wait(workers, STOPPING if any(worker.poll() in (75, 130) for worker in workers) else NOTICING)
        _end(workers)
        codes = [worker.returncode for worker in workers]
        for index in range(1, count):
            if codes[index] in (1, 2) and codes[index] != codes[0]:
                messages[index].seek(0)
                print(f"worker {index}: {messages[index].read().strip().splitlines()[-1:]}", file=sys.stderr)
    return killed or next((code for code in (2, 1, 130, 75) if code in codes), 0)


def _wait(workers: list[subprocess.Popen], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(worker.poll() is None for worker in workers) and time.monotonic() < end:
        time.sleep(0.1)


def _end(workers: list[subprocess.Popen]) -> None:
    """Kills the workers that still run: a job cannot continue without one of its workers."""
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


@contextlib.contextmanager
def _signals_forwarded(workers: list[subprocess.Popen]):
    """Sends SIGTERM to the workers when this process gets SIGTERM or Ctrl-C."""

    def forward(*_):
        # Always SIGTERM: a terminal sends Ctrl-C to the workers too, and a second one would end them at once.
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()

    former = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Returns `count` free ports of 127.0.0.1."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def worker_environment(ports: list[int], index: int) -> dict[str, str]:
    """Returns the environment of worker `index`, without GPUs: there may be fewer GPUs than workers."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
    return os.environ | {"TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "-1"}
