"""Fresh Python processes without the seconds that TensorFlow and Keras take to be imported.

`run` starts a server once: a process that imports TensorFlow and Keras, and nothing of kerasnets. For each call the
server forks, so that a process begins with these imports done, nothing computed and no logical devices. A test of what
is imported, or of a variable of the environment that TensorFlow reads at its import, needs `subprocess`.
"""

import atexit
import functools
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path


def run(*arguments, cwd=None, env=None) -> subprocess.CompletedProcess:
    """Returns what `subprocess.run([sys.executable, *arguments], capture_output=True, text=True)` would."""
    server, words = _server(), [os.fspath(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        request = {"arguments": words, "cwd": os.fspath(cwd or os.getcwd()), "env": dict(env or os.environ)}
        server.stdin.write(json.dumps(request | {"folder": folder}) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        output, errors = (Path(folder, name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess([sys.executable, *words], code, output, errors)


@functools.cache
def _server() -> subprocess.Popen:
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.stdin.close)
    return server


def serve() -> None:
    """Answers each line with the exit code of a forked process, until standard input ends."""
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    gc.freeze()  # or the first collection of each process would copy the whole heap
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if not (child := os.fork()):
            become(**request)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(arguments: list[str], cwd: str, env: dict, folder: str) -> None:
    """Turns this process into the one that was asked for: its folder, environment, output files and program."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        execute(*arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        print(end.code if isinstance(end.code, str) else "", end="", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking TensorFlow down takes as long as its import


def execute(kind: str, *rest: str) -> None:
    """Runs `-c PROGRAM ...` or `FILE ...` as Python does."""
    sys.path[0] = "" if kind == "-c" else str(Path(kind).parent)
    sys.argv = [kind, *rest[1:]] if kind == "-c" else [kind, *rest]
    if kind == "-c":
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve()
