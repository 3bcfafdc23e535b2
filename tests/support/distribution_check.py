"""Trains the same on one device and on many and compares: the cases of the tests and of `make distribution-check`.

Each case trains a tiny network with filled weights for five steps on one device, on two and on three devices of this
process (MirroredStrategy over logical CPUs), and in two processes (MultiWorkerMirroredStrategy). It compares every
variable, by norm, and the metrics. `python tests/support/distribution_check.py` prints a table and exits with 1 if a
case fails.
"""

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from distribution_cases import CASES, Case
from distribution_jobs import on_jobs
from pydantic import TypeAdapter

from kerasnets.compression.constraints import Constraints
from kerasnets.compression.quantization import quantization_aware
from kerasnets.data.images.per_batch import draw_mixing
from kerasnets.distribution.local_workers import free_ports, worker_environment
from kerasnets.distribution.precision import computing_in
from kerasnets.distribution.replicas import prepare_for_replicas
from kerasnets.distribution.strategy import cluster, distribute, local_strategy, make_strategy
from kerasnets.layers.batch_norm import BatchNormalization
from kerasnets.layers.scheduled_drop_path import ScheduledDropPath, TrainingProgress
from kerasnets.layers.stochastic_depth import StochasticDepth
from kerasnets.recipe.compression_options import PruneOptions, ShareOptions
from kerasnets.recipe.data_options import AugmentationOptions
from kerasnets.recipe.schema import EMAOptions, LossOptions, OptimizerOptions, ScheduleOptions
from kerasnets.registry import Preprocessing
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.trainer import Trainer

TOLERANCE = 1e-5
PIXELS = Preprocessing(8, 1.0, "bilinear", (127.5,), (127.5,))


def network(layer: str) -> keras.Model:
    """Returns a network of a convolution, the layer in question and a classifier, with all weights filled."""
    x = inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(x)
    if layer == "batch norm":
        x = BatchNormalization(momentum=0.5, name="bn")(x)
    elif layer == "batch norm of each replica":
        x = x + 0.0 * BatchNormalization(momentum=0.5, name="beside")(inputs)
    elif layer == "dropout":
        x = keras.layers.Dropout(0.5, seed=7)(x)
    elif layer == "drop path":
        x = StochasticDepth(0.5, mode="sample", scale="train", seed=7)(x)
    elif layer == "scheduled drop path":
        x = ScheduledDropPath(0.9, seed=7)([x, TrainingProgress(name="progress")(x)])
    x = keras.layers.Flatten()(keras.layers.Activation("relu", name="act")(x))
    outputs = keras.layers.Dense(3, dtype="float32", name="predictions")(x)
    if layer == "two outputs":
        outputs = {"predictions": outputs, "aux1": keras.layers.Dense(3, dtype="float32", name="aux1")(x)}
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32" and "progress" not in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape) / max(np.prod(weight.shape[:-1]), 1) ** 0.5)
    return quantization_aware(model) if layer == "quantised" else model


def examples(sizes, part: slice | None = None):
    """Returns batches of random images, with labels computed from the images; of each batch only the `part`."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (sum(sizes), 8, 8, 1)).astype("uint8")
    labels = (images.mean((1, 2, 3)) * 7).astype("int32") % 3
    ends = np.cumsum(sizes)
    batches = [(images[e - n : e], labels[e - n : e]) for e, n in zip(ends, sizes, strict=True)]
    return [tuple(values[part] for values in batch) for batch in batches] if part else batches


def dataset(batches):
    """Returns a dataset of batches that may differ in size."""
    whole = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    ends = np.cumsum([0, *(len(batch[0]) for batch in batches)]).tolist()
    made = tf.data.Dataset.from_tensor_slices((ends[:-1], ends[1:]))
    return made.map(lambda a, b: tuple(tf.constant(part)[a:b] for part in whole))


def with_draws(batches: tf.data.Dataset, mixing: dict, part: slice | None) -> tf.data.Dataset:
    """Adds the draws of MixUp and CutMix to batches of 12 images, as the pipeline does."""
    options = AugmentationOptions(**mixing)

    def added(number, batch):
        draws = draw_mixing(options, 12, 8, tf.stack([number, 0]))
        return *batch, {name: drawn[part or slice(None)] for name, drawn in draws.items()}

    return batches.enumerate().map(added)


def make_trainer(case: Case, strategy) -> Trainer:
    """Builds for a case what `kerasnets.training.prepare.prepare` builds for a recipe."""
    keras.utils.set_random_seed(0)
    with strategy.scope(), computing_in(case.policy):
        model = network(case.layer)
        prepare_for_replicas(model, strategy.num_replicas_in_sync, synchronized_batch_norm=case.layer == "batch norm")
        ema = EMAOptions(**case.ema) if case.ema else None
        loss = LossOptions(**case.loss)
        settings = {"ema": ema, "gradient_accumulation": case.accumulation, "jit_compile": case.jit}
        trainer = Trainer(model, PIXELS, loss, steps=len(case.sizes), **settings)
        options = TypeAdapter(OptimizerOptions).validate_python(case.optimizer)
        constant = TypeAdapter(ScheduleOptions).validate_python({"name": "constant"})
        schedule = Schedule(constant, options.learning_rate, 1, 1)
        trainer.compile(make_optimizer(options, schedule, model.trainable_variables, case.policy), jit_compile=False)
        trainer.steps_per_execution = case.steps_per_execution
        if case.compress:
            prune, share = PruneOptions(initial=0.5), ShareOptions(bits=2)
            length = {"steps_per_epoch": len(case.sizes), "epochs": 1, "execution": 1}
            trainer.constraints = Constraints(model, prune, share, **length)
            trainer.constraints.update(0, trainer.averages)
        if case.scale:
            trainer.optimizer.dynamic_scale.assign(case.scale)
    return trainer


def five_steps(case: Case, strategy, worker: slice | None = None) -> dict[str, np.ndarray]:
    """Trains a case and returns its results: weights, averages, loss scale, metrics, evaluation."""
    trainer = make_trainer(case, strategy)
    before = {w.path: w.numpy() for w in trainer.network.trainable_weights}
    batches = dataset(examples(case.sizes, worker))
    batches = with_draws(batches, case.mixing, worker) if case.mixing else batches
    history = trainer.fit(distributed(strategy, batches, case.sizes), verbose=0, shuffle=False).history
    trainer.average_statistics()
    if "batch norm" in case.layer and strategy.num_replicas_in_sync > 1:
        trainer.average_statistics()
        assert trainer.averaging.experimental_get_tracing_count() == 1
    left = {f"log {name}": np.asarray(values) for name, values in history.items()}
    left |= {w.path: w.numpy() for w in trainer.network.weights if w.dtype == "float32"}
    pairs = zip(trainer.network.weights, trainer.averages, strict=False)
    left |= {f"average of {w.path}": v.numpy() for w, v in pairs}
    if case.compress:
        for name in ("conv/kernel", "average of conv/kernel"):
            assert (left[name] == 0).mean() == 0.5 and len(np.unique(left[name])) <= 5
    # The mean of the replicas' variances is not the variance of the whole batch, so it is not compared.
    left = {path: value for path, value in left.items() if not path.endswith("beside/moving_variance")}
    if case.scale:
        left["loss scale"] = trainer.optimizer.dynamic_scale.numpy()
    if case.evaluate:
        left["evaluation"] = evaluation(trainer, strategy, worker)
    moved = np.sqrt(sum(np.sum((value - left[path]) ** 2) for path, value in before.items()))
    if not moved > 100 * TOLERANCE:
        raise RuntimeError(f"The weights hardly changed ({moved:.1e}); that they agree proves nothing.")
    return left


def distributed(strategy, batches, sizes):
    """Divides batches among the devices as the pipeline does, or, if `sizes` differ, as those of the user's own."""
    devices = strategy.num_replicas_in_sync // cluster().workers
    even = set(sizes) == {12} and 12 % devices == 0
    if even and devices > 1:
        batches = batches.rebatch(12 // devices)
    return distribute(strategy, batches, divided=even or devices == 1)


def evaluation(trainer: Trainer, strategy, worker: slice | None) -> np.ndarray:
    """Returns loss, top-1 and top-5 over 29 examples in batches of 12; the last batch is padded with weight 0."""
    batches = [
        (*(np.resize(part, (12, *part.shape[1:])) for part in batch), (np.arange(12) < len(batch[0])).astype("float32"))
        for batch in examples((12, 12, 5))
    ]
    batches = [tuple(part[worker] for part in batch) for batch in batches] if worker else batches
    found = trainer.evaluate(distributed(strategy, dataset(batches), (12,)), verbose=0, return_dict=True)
    return np.array([found["loss"], found["top1"], found["top5"]])


def difference(ours: dict, theirs: dict) -> float:
    """Returns the largest relative difference between the results of two runs, each by its norm."""
    assert ours.keys() == theirs.keys()
    pairs = [(np.asarray(ours[k], "f8"), np.asarray(theirs[k], "f8")) for k in ours]
    found = [np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-8) for a, b in pairs]
    return float(max(found)) if np.isfinite(found).all() else float("inf")


def on_one_device(name: str) -> dict[str, np.ndarray]:
    """Returns the results that the others are compared with."""
    case = CASES[name]
    return five_steps(dataclasses.replace(case, **case.alone), tf.distribute.get_strategy())


def on_devices(alone: dict, counts=(2, 3)):
    """Yields (case, engine, largest relative difference from `alone`: the results of one device, by case)."""
    for count in counts:
        strategy = local_strategy([f"CPU:{i}" for i in range(count)])
        for name, result in alone.items():
            yield name, f"{count} devices", difference(five_steps(CASES[name], strategy), result)


def worker_main(folder: str, names) -> None:
    """Trains the cases as one of two processes, and writes the results of its own copy of the variables."""
    strategy, here = make_strategy(), cluster()
    for number, case in enumerate(CASES[name] for name in names):
        np.savez(Path(folder) / f"{here.index}_{number}.npz", **five_steps(case, strategy, here.share(12)))


def on_workers(alone: dict, count: int = 2):
    """Yields (case, engine, largest relative difference of any worker from `alone`)."""
    with tempfile.TemporaryDirectory() as folder:
        ports = free_ports(count)
        command = [sys.executable, __file__, "--worker", folder, "--cases", *alone]
        workers = [subprocess.Popen(command, env=worker_environment(ports, index)) for index in range(count)]
        if any([worker.wait(900) for worker in workers]):
            raise RuntimeError("A worker failed.")
        for number, (name, result) in enumerate(alone.items()):
            left = [dict(np.load(Path(folder) / f"{index}_{number}.npz")) for index in range(count)]
            yield name, f"{count} processes", max(difference(each, result) for each in left)


def make_devices(count: int = 3) -> None:
    """Gives this process logical CPUs. Call it before TensorFlow computes anything."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", metavar="FOLDER", help="work as one of the processes")
    parser.add_argument("--devices", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jobs", action=argparse.BooleanOptionalAction, default=True, help="whole jobs of two workers")
    parser.add_argument("--cases", nargs="*", default=tuple(CASES))
    arguments = parser.parse_args()
    if arguments.worker:
        return worker_main(arguments.worker, arguments.cases)
    make_devices()
    failed = cases = 0
    alone = {name: on_one_device(name) for name in arguments.cases}
    workers = on_workers(alone, arguments.workers) if arguments.workers else ()
    jobs = on_jobs() if arguments.jobs else ()
    for source in (on_devices(alone, arguments.devices), workers, jobs):
        for name, engine, found in source:
            # A whole job has twelve times the steps of a case, so its rounding errors are larger.
            holds = found <= TOLERANCE * (10 if engine == "launch" else 1)
            cases, failed = cases + 1, failed + (not holds)
            verdict = "holds" if holds else "FAILS"
            print(f"{name:58} {engine:12} {found:9.2e}  {verdict}", flush=True)
    print(f"{cases} cases, {failed} of them fail; {TOLERANCE:g} is allowed, ten times that after a whole job")
    sys.exit(int(failed > 0))


if __name__ == "__main__":
    main()
