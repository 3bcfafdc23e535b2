"""A data service as real processes of this machine, started by the command line."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def started(*words: str):
    """Runs `kerasnets data-service` and yields the ready process; its `announced` is the line that it printed."""
    command = [sys.executable, "-m", "kerasnets", "data-service", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        process.announced = process.stdout.readline().strip()
        if not process.announced:
            raise RuntimeError(f"{' '.join(command)} ended with {process.wait()}")
        yield process
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.stdout.close()


@contextlib.contextmanager
def data_service(workers: int):
    """Yields the address of a service and the processes of its workers."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(started("dispatcher", "--port", "0", "--host", "localhost")).announced
        made = [stack.enter_context(started("worker", url, "--host", "localhost")) for _ in range(workers)]
        yield url, made
