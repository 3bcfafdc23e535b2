"""`kerasnets launch`: the workers of a job on several machines, all on this one, for trying it out."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Annotated

import typer

# Seconds that the others have when a worker has ended before them: to write a checkpoint after SIGTERM, or to notice.
STOPPING, NOTICING = 60, 3


def add_commands(app: typer.Typer) -> None:
    """Adds the command of this file to `app`."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    example = "Example: kerasnets launch --workers 2 recipes/lenet5_digits.yaml --set epochs=5"
    app.command("launch", context_settings=settings, epilog=example)(launch_command)


def launch_command(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A recipe, a YAML file; what follows goes to `kerasnets train`.")],
    workers: Annotated[int, typer.Option(min=1, help="How many processes, each with all processor cores.")] = 2,
    restarts: Annotated[int, typer.Option(min=0, help="How often to begin again after a worker was killed.")] = 3,
) -> None:
    """Train by a recipe in several local processes, as on several machines (for trying it out; without GPUs).

    When a worker is killed all start again from the last checkpoint. On real machines: docs/distributed.md.
    """
    command = [sys.executable, "-m", "kerasnets", "train", recipe, *context.args]
    code = run_workers(command, workers)
    for restart in range(1, restarts + 1):
        if code >= 0:
            break
        name = signal.Signals(-code).name
        print(f"warning: a worker was ended by {name}; restart {restart} of {restarts}", file=sys.stderr, flush=True)
        code = run_workers([*command, "--resume"], workers)
    if code < 0:
        raise RuntimeError(f"A worker was ended by {signal.Signals(-code).name}, as in {restarts} restarts before.")
    raise typer.Exit(code)


def run_workers(command: list[str], count: int) -> int:
    """Runs a command in `count` processes that know of one another, until all have ended.

    Returns:
        The code of the worker to blame: negative, the number of the signal that killed it, else 2, 1, 130, 75 or 0.
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
    """Ends the workers that still run: what one of them lost, none of them can do alone."""
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


@contextlib.contextmanager
def _signals_forwarded(workers: list[subprocess.Popen]):
    def forward(*_):
        for (
            worker
        ) in workers:  # as SIGTERM: a terminal sends Ctrl-C to the workers itself, and a second one is too many
            if worker.poll() is None:
                worker.terminate()

    former = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Returns `count` ports of 127.0.0.1 that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def worker_environment(ports: list[int], index: int) -> dict[str, str]:
    """Returns the environment of worker `index`; it has no GPU, of which there may be fewer than workers."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
    return os.environ | {"TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "-1"}
