"""Measure a TFLite file by LiteRT's own benchmark, and write the commands that measure it on an Android phone."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from kerasnets.exporters.tflite import load_tflite

_TOOL = "ai_edge_litert.tools.benchmark_litert_model"
_ON_PHONE = "/data/local/tmp"


def measure_latency(path: str | Path, runs: int = 50, *, gpu: bool = False) -> list[dict]:
    """Runs LiteRT's benchmark on random pixels, on one thread and on all threads that this process may use.

    Args:
        path: a .tflite file.
        runs: measured runs; five others come first.
        gpu: use LiteRT's GPU accelerator, and the processor for operators that it does not have.

    Returns:
        For each number of threads `{"threads", "accelerators", "fully_accelerated", "median_ms", "p5_ms", "p95_ms",
        "init_ms", "runs"}`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or the benchmark cannot run it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no such file. Received: {str(path)!r}")
    if runs < 1:
        raise ValueError(f"`runs` should be a positive integer. Received: runs={runs}")
    load_tflite(path)  # It says in one line what is wrong with a file.
    threads = sorted({1, len(os.sched_getaffinity(0))})
    return [_measure(str(path), count, runs, gpu) for count in threads]


def _measure(path: str, threads: int, runs: int, gpu: bool) -> dict:
    with tempfile.TemporaryDirectory(prefix="kerasnets-latency-") as folder:
        result = Path(folder) / "result.json"
        options = [f"--model={path}", f"--num_threads={threads}", f"--num_runs={runs}", f"--result_json={result}"]
        command = [sys.executable, "-m", _TOOL, *options, *["--use_gpu"] * gpu]
        done = subprocess.run(command, capture_output=True, text=True)
        if not result.is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"code {done.returncode}"]
            raise ValueError(f"LiteRT's benchmark cannot run {path}: {lines[-1]}")
        found = json.loads(result.read_text())
    times = {name: found["latency"][name] for name in ("median_ms", "p5_ms", "p95_ms", "init_ms")}
    facts = {name: found[name] for name in ("accelerators", "fully_accelerated")}
    return {"threads": threads, **facts, **times, "runs": runs}


def phone_commands(path: str | Path, threads: int = 4) -> list[str]:
    """Returns the commands that measure a file on an Android phone, on its processor and on its GPU.

    They need LiteRT's program `benchmark_model` for Android in the current folder.
    """
    tool, file = f"{_ON_PHONE}/benchmark_model", f"{_ON_PHONE}/model.tflite"
    run = f"adb shell {tool} --graph={file} --num_runs=50"
    return [
        f"adb push benchmark_model {_ON_PHONE}",
        f"adb shell chmod +x {tool}",
        f"adb push {shlex.quote(str(path))} {file}",
        f"{run} --num_threads=1 --use_xnnpack=true",
        f"{run} --num_threads={threads} --use_xnnpack=true",
        f"{run} --use_gpu=true",
    ]
