"""Times a ResNet-50 training step at 224x224 with our batch normalisation and with Keras's, in the same graph.

    python benchmarks/batch_norm.py [--batch 16] [--steps 8]

The networks take turns, step by step, so that a slow minute of the machine hits them all. A third network has no batch
normalisation at all. Its ratio is the most that any batch normalisation could reach on this machine.
"""

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf
from steps import gradient_step, with_layers

from kerasnets.build import create_model
from kerasnets.layers.batch_norm import BatchNormalization


class StockBatchNormalization(BatchNormalization):
    """Our layer without its fused path, which leaves Keras's code."""

    def _can_fuse(self, inputs):
        return False


class NoBatchNormalization(BatchNormalization):
    """Returns its input: a normalisation that costs nothing."""

    def call(self, inputs, training=None, mask=None):
        return inputs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((options.batch, 224, 224, 3)), tf.float32)
    y = tf.constant(rng.integers(0, 1000, options.batch))
    ours = create_model("resnet50_v1_5")
    stock = with_layers(ours, BatchNormalization, StockBatchNormalization)
    none = with_layers(ours, BatchNormalization, NoBatchNormalization)
    stock.set_weights(ours.get_weights())
    steps = {name: gradient_step(net, x, y) for name, net in (("ours", ours), ("keras", stock), ("none", none))}
    losses = {name: float(step()) for name, step in steps.items()}
    seconds = {name: [] for name in steps}
    for _ in range(options.steps):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    for name, each in seconds.items():
        print(f"{name}: {options.batch / statistics.median(each):.1f} images/s, first loss {losses[name]:.6f}")
    times = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"ratio batch_norm_resnet50_at_most {times['keras'] / times['none']:.2f}")
    print(f"ratio batch_norm_resnet50 {times['keras'] / times['ours']:.2f}")


if __name__ == "__main__":
    main()
