"""The sides of a benchmark: processes that stay open and take turns.

So a slow minute of the machine hits them all.
A side reads one request from each line of standard input and answers with one line of JSON. Answers begin with a mark,
because libraries print too.
"""

import contextlib
import json
import subprocess
import sys

MARK = "answer "


@contextlib.contextmanager
def open_sides(script: str, pythons: dict[str, str], *arguments: str):
    """Starts `PYTHON script --side NAME ARGUMENTS` for each name and ends the processes on leaving."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    commands = {name: [python, script, "--side", name, *arguments] for name, python in pythons.items()}
    processes = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def ask(process, request: str):
    """Sends a line to a side and returns its answer; when the side has ended, so does the benchmark."""
    process.stdin.write(f"{request}\n")
    process.stdin.flush()
    line = next((line for line in process.stdout if line.startswith(MARK)), None)
    if line is None:
        raise SystemExit("a side ended early; its error stands above")
    return json.loads(line.removeprefix(MARK))


def serve(answer) -> None:
    """Answers every line of standard input with `answer(line)`; called in the side's own process."""
    for line in sys.stdin:
        print(f"{MARK}{json.dumps(answer(line.strip()))}", flush=True)


def has_torch(python: str) -> bool:
    """Whether this Python has torch and torchvision."""
    return not subprocess.run([python, "-c", "import torch, torchvision"], capture_output=True).returncode


def with_torchvision(pythons: dict[str, str], torch_python: str) -> dict[str, str]:
    """Adds a side for torchvision, or prints that torchvision is not installed."""
    if has_torch(torch_python):
        return pythons | {"torchvision": torch_python}
    print("torchvision: not run, torch and torchvision are not installed")
    return pythons
