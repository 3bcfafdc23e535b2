"""Measures time and memory of loading the weights of ResNet-152 (60 M parameters).

    python benchmarks/load_weights.py [--model resnet152_v1_5] [--runs 3]

Ours loads a .safetensors file with PyTorch's names and layouts. Keras's own `load_weights` loads the same weights from
its .weights.h5 file. Both take turns in one process, on the same model. Memory is the largest growth of the process
while ours loads, as Linux counts it, without the memory-mapped file.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from kerasnets.build import create_model
from kerasnets.weights.load import load_weights
from kerasnets.weights.mapping import weight_targets

NAMES = ("ours", "Keras's own file")


def held() -> int:
    """Returns the bytes of the process's own memory, without mapped files; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def growth(function) -> int:
    """Returns the most that the process's own memory grew while `function` ran, read every two milliseconds."""
    before, most, done = held(), [0], threading.Event()

    def look():
        while not done.wait(0.002):
            most[0] = max(most[0], held() - before)

    thread = threading.Thread(target=look)
    thread.start()
    function()
    done.set()
    thread.join()
    return most[0]


def write_torch_file(model, path: Path) -> int:
    """Writes a model's weights in PyTorch's layouts and returns their bytes.

    It does not know depthwise convolutions, nor dense layers behind a flattened map.
    """
    back = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    arrays = {name: np.array(target.variable) for name, target in weight_targets(model).items()}
    arrays = {name: np.ascontiguousarray(array.transpose(back[array.ndim])) for name, array in arrays.items()}
    save_file(arrays, path)
    return sum(array.nbytes for array in arrays.values())


def seconds(function) -> tuple[float, float]:
    """Returns the seconds of `function` on the clock, and those of the processor."""
    start, worked = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - worked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet152_v1_5")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "net.safetensors", Path(folder) / "net.weights.h5"
        size = write_torch_file(create_model(options.model), ours)
        model = create_model(options.model)
        model.save_weights(theirs)
        report = load_weights(model, ours)
        grown = growth(lambda: load_weights(model, ours))
        times = [
            (seconds(lambda: load_weights(model, ours)), seconds(lambda: model.load_weights(theirs)))
            for _ in range(options.runs)
        ]
    own, keras = (sorted(column)[len(times) // 2] for column in zip(*times, strict=True))
    clocks = " and ".join(
        f"{name} {c:.2f} s ({p:.2f} s of processor)" for name, (c, p) in zip(NAMES, (own, keras), strict=True)
    )
    print(f"{options.model}: {model.count_params():,} parameters, {size / 1e6:.0f} MB, {report}")
    print(f"{clocks}, median of {options.runs}")
    print(f"memory grew by {grown / 1e6:.0f} MB, {grown / size:.2f} of the weights")
    print(f"ratio load_weights_vs_keras {keras[0] / own[0]:.2f}")


if __name__ == "__main__":
    main()
