"""A training step on two logical CPUs under MirroredStrategy, beside the same step on one.

    python benchmarks/replicas.py [--net resnet18] [--batch 32] [--size 224] [--steps 3] [--turns 3]

Two logical CPUs share the cores of one processor, so nothing can be gained: the ratio shows what the division of a
batch and the sums over the replicas cost. Each side has a process of its own, and they take turns of a few steps. The
batch is random and in memory; the precision is float32.
"""

import argparse
import os
import sys
import time

from sides import ask, open_sides, serve

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported
DEVICES = {"one": 1, "two": 2}


def side(name: str, net: str, batch: int, size: int) -> None:
    """Answers every line, a number of steps, with the seconds of a step."""
    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * DEVICES[name]
    tf.config.set_logical_device_configuration(cpu, logical)
    from kerasnets.distribution.strategy import distribute
    from kerasnets.recipe.read import parse_recipe
    from kerasnets.training.prepare import make_job, training_data, wanted_recipe

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3)).astype("uint8")
    data = tf.data.Dataset.from_tensors((images, rng.integers(0, 10, batch).astype("int32"))).repeat()
    recipe = {"model": {"name": net, "arguments": {"classes": 10}}, "data": {"source": {"kind": "digits"}}}
    recipe |= {"batch_size": batch, "epochs": 1, "steps_per_epoch": 10, "deterministic": False}
    recipe |= {"optimizer": {"name": "sgd", "learning_rate": 0.01}}
    recipe, splits = wanted_recipe(parse_recipe(recipe), (), False, (data, data.take(1)))
    job = make_job(recipe, None, splits)
    trainer, strategy = job.trainer, job.trainer.distribute_strategy
    trainer.make_train_function()
    iterator = iter(distribute(strategy, training_data(job), divided=False))

    def seconds(steps: str) -> float:
        start = time.perf_counter()
        for _ in range(int(steps)):
            logs = trainer.train_function(iterator)
        float(logs["loss"])
        return (time.perf_counter() - start) / int(steps)

    serve(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        name, net, *numbers = options.side
        return side(name, net, *map(int, numbers))
    arguments = (options.net, str(options.batch), str(options.size))
    with open_sides(__file__, dict.fromkeys(DEVICES, sys.executable), *arguments) as processes:
        best = {name: float("inf") for name in processes}
        for process in processes.values():
            ask(process, "2")
        for _ in range(options.turns):
            for name, process in processes.items():
                best[name] = min(best[name], ask(process, str(options.steps)))
    for name, seconds in best.items():
        print(f"{name}: {1e3 * seconds:.0f} ms a step, {options.batch / seconds:.1f} images/s")
    print(f"ratio replicas_two_over_one_{options.net} {best['one'] / best['two']:.2f}")


if __name__ == "__main__":
    main()
