"""Times a training step of ResNet-110 with stochastic depth and without.

    python benchmarks/stochastic_depth.py [--batch 128] [--steps 10] [--turns 4] [--blocks 18]

Huang et al. 2016, section 4: with a last survival probability of 0.5 and linear decay, three of four blocks are
computed on average, and training takes about 25 % less time. The two sides take turns of a few steps. Each step drops
other blocks, so the mean over all steps is reported. `--blocks` is the number of blocks in each of the three stages.
"""

import argparse
import statistics

import keras
import numpy as np
import tensorflow as tf
from steps import fit_steps, take_turns

from kerasnets.build import build
from kerasnets.layers.stochastic_branch import StochasticBranch
from kerasnets.registry import get_variant

NAME = "resnet110_stochastic_depth_cifar"


def network(blocks: int, stochastic_depth: float) -> keras.Model:
    """Builds the variant with another number of blocks in each stage, and compiles it as in its paper."""
    model = build(get_variant(NAME).with_spec(depths=(blocks,) * 3), stochastic_depth=stochastic_depth)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    return model


def compare(batch: int, steps: int, turns: int, blocks: int) -> float:
    """Prints both step times; returns the time without stochastic depth divided by the time with it."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.standard_normal((batch, 32, 32, 3)), tf.float32)
    data = tf.data.Dataset.from_tensors((images, tf.constant(rng.integers(0, 10, batch)))).repeat()
    models = {"without": network(blocks, 0.0), "with": network(blocks, 0.5)}
    kept = statistics.mean(1 - layer.rate for layer in models["with"].layers if isinstance(layer, StochasticBranch))
    sides = {side: fit_steps(model, data) for side, model in models.items()}
    seconds = take_turns(sides, turns, steps + 1, warm_up=2)
    times = {side: statistics.mean(each) for side, each in seconds.items()}
    print(f"{3 * blocks} blocks, {kept:.1%} of them computed on average; batch {batch}, {steps * turns} steps a side")
    for side, each in times.items():
        print(f"{side} stochastic depth: {1e3 * each:.0f} ms a step")
    print(f"saved: {1 - times['with'] / times['without']:.1%} of the time")
    return times["without"] / times["with"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=18)
    options = parser.parse_args()
    ratio = compare(options.batch, options.steps, options.turns, options.blocks)
    print(f"ratio stochastic_depth_step_time {ratio:.3f}")


if __name__ == "__main__":
    main()
