"""The sides of a benchmark: processes that stay open and take turns, so that a slow minute of the machine falls on all.

A side reads a request per line of standard input and answers each with a line of JSON, marked as such since libraries
print too.
"""

import contextlib
import json
import subprocess
import sys

MARK = "answer "


@contextlib.contextmanager
def open_sides(script: str, pythons: dict[str, str], *arguments: str):
    """Starts `PYTHON script --side NAME ARGUMENTS` for each name, and ends all of them in the end."""
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
    """Sends a side a line and returns its answer; an end of the side ends the benchmark."""
    process.stdin.write(f"{request}\n")
    process.stdin.flush()
    line = next((line for line in process.stdout if line.startswith(MARK)), None)
    if line is None:
        raise SystemExit("a side ended early; its error stands above")
    return json.loads(line.removeprefix(MARK))


def serve(answer) -> None:
    """Answers every line of standard input with `answer(line)`; for the side's own process."""
    for line in sys.stdin:
        print(f"{MARK}{json.dumps(answer(line.strip()))}", flush=True)


def has_torch(python: str) -> bool:
    """Whether this Python has torch and torchvision."""
    return not subprocess.run([python, "-c", "import torch, torchvision"], capture_output=True).returncode


def with_torchvision(pythons: dict[str, str], torch_python: str) -> dict[str, str]:
    """Returns the sides with torchvision's beside them where it is installed, and says so where it is not."""
    if has_torch(torch_python):
        return pythons | {"torchvision": torch_python}
    print("torchvision: not run, torch and torchvision are not installed")
    return pythons
