"""Compares our training loop with bare `keras.Model.fit` on the same network, batch and optimizer.

    python benchmarks/loop_overhead.py [--steps 15] [--turns 6]

Ours is the trainer with all callbacks of a run. Bare is `compile` and `fit` with the same metrics; its only callback is
the clock. They take turns of a few steps, so that a slow minute of the machine hits both. The batch is in memory.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from steps import fit_steps, take_turns

from kerasnets.data.images.per_image import normalise
from kerasnets.recipe.read import parse_recipe
from kerasnets.training.callbacks import make_callbacks
from kerasnets.training.prepare import build_network, make_job
from kerasnets.training.stopping import StopRequest

NETWORKS = {"resnet20_cifar": 32, "lenet5_modern": 64}


def recipe(name: str, batch_size: int, steps: int):
    return parse_recipe(
        {
            "name": name,
            "model": {"name": name},
            "data": {"source": {"kind": "digits"}, "size": 32},
            "preprocessing": {"mean": [127.5], "std": [127.5], "channel_order": "rgb"},
            "batch_size": batch_size,
            "epochs": 1,
            "steps_per_epoch": steps,
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "deterministic": False,
        }
    )


def bare_model(job):
    """Returns the network, compiled as a Keras user would do it."""
    model = build_network(job.recipe, job.trainer.preprocessing, 10)
    metrics = ["sparse_categorical_accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=metrics, jit_compile=False)
    return model


def compare(name: str, batch_size: int, steps: int, turns: int) -> float:
    """Prints both step times; returns the bare one divided by ours."""
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(recipe(name, batch_size, steps), Path(folder))
        (Path(folder) / "checkpoints").mkdir()
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (batch_size, 32, 32, 1)).astype("uint8")
        labels = rng.integers(0, 10, batch_size).astype("int32")
        pixels = normalise(tf.constant(images), job.trainer.preprocessing)
        data = {
            side: tf.data.Dataset.from_tensors((x, labels)).repeat() for side, x in (("ours", images), ("bare", pixels))
        }
        sides = {
            "ours": fit_steps(job.trainer, data["ours"], make_callbacks(job, None, False, StopRequest())),
            "bare": fit_steps(bare_model(job), data["bare"]),
        }
        seconds = take_turns(sides, turns, steps, warm_up=steps)
    times = {side: statistics.median(each) for side, each in seconds.items()}
    for side, each in times.items():
        print(f"{name} {side}: {1e3 * each:.2f} ms a step of {batch_size}")
    return times["bare"] / times["ours"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--turns", type=int, default=6)
    options = parser.parse_args()
    ratios = {name: compare(name, batch, options.steps, options.turns) for name, batch in NETWORKS.items()}
    for name, ratio in ratios.items():
        print(f"ratio loop_overhead_{name} {ratio:.3f}")


if __name__ == "__main__":
    main()
