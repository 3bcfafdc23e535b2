"""Measures peak memory and time of a DenseNet-121 training step at 224x224 with `recompute=True` and without.

    python benchmarks/densenet_memory.py [--batch 16] [--model densenet121]

Each side has a process of its own, because peak memory is counted per process. The C library is told to return freed
blocks at once, so that only memory in use is counted. The gradients are compared too: the largest difference in the
gradient of one tensor, divided by the norm of the whole gradient.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np


def measure(name: str, batch: int, recompute: bool, path: Path) -> None:
    """Takes two steps; writes to `path` the gradients by layer name, the peak memory in MB and the second's time."""
    import tensorflow as tf

    from kerasnets.build import create_model

    model = create_model(name, recompute=recompute, classifier_activation=None)
    layers = {p.name: p for layer in model.layers for p in getattr(layer, "parts", (layer,))}
    variables = {f"{n}/{v.name}": v for n, layer in layers.items() for v in layer.trainable_variables}
    for key, value in variables.items():
        numbers = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(value.shape)
        if len(value.shape) > 1:
            value.assign(numbers * np.sqrt(2 / np.prod(value.shape[:-1])))
        else:  # Offsets other than zero, so that every scale gets a gradient.
            value.assign(0.1 * numbers + (value.name == "gamma"))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((batch, 224, 224, 3)), tf.float32)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(x, training=True) ** 2)
        return tape.gradient(loss, [v.value for v in variables.values()])

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    step()
    start = time.perf_counter()
    gradients = [gradient.numpy() for gradient in step()]
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    named = dict(zip(variables, gradients, strict=True))
    np.savez(path, **named, peak=peak, before=before, seconds=seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--model", default="densenet121")
    parser.add_argument("--measure", choices=("plain", "recompute"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.model, options.batch, options.measure == "recompute", options.out)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("plain", "recompute"):
            out = Path(folder) / f"{side}.npz"
            arguments = ["--batch", str(options.batch), "--model", options.model, "--measure", side, "--out", str(out)]
            environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
            subprocess.run([sys.executable, __file__, *arguments], check=True, env=environment)
            found[side] = dict(np.load(out))
            print(
                "{}: peak {peak:.0f} MB, {before:.0f} of them before the step; {seconds:.2f} s".format(
                    side, **found[side]
                )
            )
    plain, again = found["plain"], found["recompute"]
    names = [name for name in plain if "/" in name]
    norm = np.sqrt(sum(np.square(plain[name]).sum() for name in names))
    worst = max(np.linalg.norm(plain[name] - again[name]) for name in names) / norm
    print(f"largest difference of a tensor's gradient over the norm of the whole: {worst:.1e}")
    print(f"peak memory with recomputation: {again['peak'] / plain['peak']:.1%} of the plain one")
    print(f"ratio densenet_recompute_time {plain['seconds'] / again['seconds']:.2f}")
    print(f"ratio densenet_recompute_memory {plain['peak'] / again['peak']:.2f}")


if __name__ == "__main__":
    main()
