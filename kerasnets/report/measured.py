"""Measure one network in a fresh process: time, peak memory, and energy where the machine counts it."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

_COUNTERS = Path("/sys/class/powercap")  # Intel's and AMD's counters of a processor's energy
_BATCHES = (1, 16)


def measured(name: str, steps: int = 10) -> dict:
    """Measures inference with random weights on this machine, in a process of its own.

    Args:
        name: a network's name.
        steps: measured batches; one before them is not.

    Returns:
        For the batch sizes 1 and 16 `{"milliseconds_1", "spread_1", ...}`: the median for one batch, and (25th, 75th
        percentile) of the steps. `"peak_memory"`: bytes by which the process grows while it builds the network and
        classifies 16 images. `"joules"`: of one image in a batch of 16; `None` where the machine has no readable
        counter.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(_quiet(),)) as pool:
        return pool.submit(_measure, name, steps).result()


def _quiet() -> dict[str, str]:
    return {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")}


def _begin(variables: dict[str, str]) -> None:
    os.environ.update(variables)


def _measure(name: str, steps: int) -> dict:
    from kerasnets.build import create_model
    from kerasnets.exporters.profile import profile

    before, found = _peak_memory(), {}
    model = create_model(name)
    for batch in _BATCHES:
        start = _energy()
        speed = profile(model, batch, steps, training=False)["inference"]
        used = None if start is None else (_energy() - start) / (batch * (steps + 1))
        found |= {f"milliseconds_{batch}": speed["milliseconds"], f"spread_{batch}": speed["spread"]}
    return found | {"peak_memory": _peak_memory() - before, "joules": used if used is None or used > 0 else None}


def _peak_memory() -> int:
    """Returns the most bytes that this process has held; `ru_maxrss` would begin with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _energy() -> float | None:
    """Returns the joules that the processors have used since some moment, or `None` without a readable counter."""
    packages = [path for path in _COUNTERS.glob("*/energy_uj") if path.parent.name.count(":") == 1]
    try:
        return sum(int(path.read_text()) for path in packages) / 1e6 if packages else None
    except OSError:  # readable by root only
        return None
