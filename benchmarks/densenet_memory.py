"""DenseNet-121 training step, 224x224, batch 16: peak memory and time with `recompute=True` and without.

    python benchmarks/densenet_memory.py [--batch 16] [--row densenet121]

Each side runs in a process of its own, because peak memory belongs to a process. Compares the gradients too.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np


def measure(row: str, batch: int, recompute: bool, path: Path) -> None:
    """One step; writes the gradients by layer name, peak memory in megabytes and seconds of a second step to `path`."""
    import tensorflow as tf

    from kerasnets.architectures import catalogue  # noqa: F401
    from kerasnets.registry import create_model

    model = create_model(row, recompute=recompute, classifier_activation=None)
    layers = {p.name: p for layer in model.layers for p in getattr(layer, "parts", (layer,))}
    for name, layer in layers.items():
        for value in layer.trainable_variables:
            if len(value.shape) > 1:
                numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(value.shape)
                value.assign(numbers * np.sqrt(2 / np.prod(value.shape[:-1])))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((batch, 224, 224, 3)), tf.float32)
    variables = {f"{n}/{v.name}": v for n, layer in layers.items() for v in layer.trainable_variables}

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(x, training=True) ** 2)
        return tape.gradient(loss, [v.value for v in variables.values()])

    step()
    start = time.perf_counter()
    gradients = [gradient.numpy() for gradient in step()]
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    named = dict(zip(variables, gradients, strict=True))
    np.savez(path, **named, peak=peak, seconds=seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--row", default="densenet121")
    parser.add_argument("--measure", choices=("plain", "recompute"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.row, options.batch, options.measure == "recompute", options.out)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("plain", "recompute"):
            out = Path(folder) / f"{side}.npz"
            arguments = ["--batch", str(options.batch), "--row", options.row, "--measure", side, "--out", str(out)]
            subprocess.run([sys.executable, __file__, *arguments], check=True)
            found[side] = dict(np.load(out))
            print(f"{side}: peak {found[side]['peak']:.0f} MB, {found[side]['seconds']:.2f} s a step")
    plain, again = found["plain"], found["recompute"]
    worst = max(np.abs(plain[k] - again[k]).max() / (np.abs(plain[k]).max() + 1e-12) for k in plain if "/" in k)
    print(f"largest difference of a gradient, relative to its tensor's largest value: {worst:.1e}")
    print(f"ratio densenet_recompute_time {plain['seconds'] / again['seconds']:.2f}")
    print(f"ratio densenet_recompute_memory {plain['peak'] / again['peak']:.2f}")


if __name__ == "__main__":
    main()
