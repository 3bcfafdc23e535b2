"""How long a step and its input take on this machine, whether the device waits for the input, and what would help.

Nothing is written. The step is measured on one batch that is kept, the input without a step, and then both together.
"""

import time
from typing import NamedTuple

import tensorflow as tf

from kerasnets.data.pipeline import parallel
from kerasnets.data.pipeline_benchmark import measure_stages
from kerasnets.distribution.precision import computing_in
from kerasnets.distribution.strategy import distribute, visible_devices
from kerasnets.recipe.schema import Recipe
from kerasnets.training.job import Job
from kerasnets.training.prepare import make_job, training_data, wanted_recipe
from kerasnets.training.private_api import keep_process_state

# Calls of the training function, and batches of the input, that are not timed.
WARM_UP = 3
# A device that works this share of the time does not wait for its input.
BUSY = 0.95
# Milliseconds of a step below which the call of TensorFlow itself is a large part of it.
SHORT_STEP = 10.0
IMAGES = 256
HELP = {
    "read": "`kerasnets shard` packs small files, and `data.cache: memory` keeps them in memory",
    "decode": "files with fewer pixels help most, then more processor cores",
    "resize": "`data.augmentation.antialias: false` resizes faster",
}


class Speed(NamedTuple):
    """What was measured.

    Attributes:
        devices: the number of devices that share a batch.
        step_ms, input_ms: milliseconds of a step without input, and of the input of a step without the step.
        together_ms: milliseconds of a step as training runs it.
        stall_ms: the part of `together_ms` that is not the step.
        utilisation: the share of the time in which the device works, 0 to 1.
        images_per_second: as training runs.
        input_cores: processor cores that the input needs to be as fast as the step.
        advice: what would help, one line each.
    """

    batch_size: int
    devices: int
    precision: str
    step_ms: float
    input_ms: float
    together_ms: float
    stall_ms: float
    utilisation: float
    images_per_second: float
    input_cores: float
    advice: list[str]


def measure(recipe, *, overrides=(), steps: int = 20) -> Speed:
    """Measures a recipe on this machine.

    Args:
        recipe: a `Recipe`, a recipe's name, or the path of one.
        overrides: strings `"a.b=c"` that change the recipe at a path.
        steps: how many steps are timed in each of the three parts.

    Raises:
        ValueError, FileNotFoundError: the recipe and its data do not fit together.
    """
    recipe, _ = wanted_recipe(recipe, overrides, False, None)
    with keep_process_state(), computing_in(recipe.precision):
        job = make_job(recipe, None)
        job.trainer.make_train_function()
        seconds, cores = _input_seconds(training_data(job), steps)
        kept = tf.data.Dataset.from_tensors(next(iter(training_data(job)))).repeat()
        alone = _step_seconds(job, kept, steps)
        together = _step_seconds(job, training_data(job), steps)
        stall = max(together - alone, 0.0)
        found = Speed(
            batch_size=recipe.batch_size,
            devices=job.trainer.distribute_strategy.num_replicas_in_sync,
            precision=recipe.precision,
            step_ms=1e3 * alone,
            input_ms=1e3 * seconds,
            together_ms=1e3 * together,
            stall_ms=1e3 * stall,
            utilisation=min(alone / together, 1.0),
            images_per_second=recipe.batch_size / together,
            input_cores=cores / alone,
            advice=[],
        )
        return found._replace(advice=advice(found, recipe, job))


def _input_seconds(batches, count: int) -> tuple[float, float]:
    """Returns seconds, and seconds of one core, that the input of a step takes on its own."""
    iterator = iter(batches)
    for _ in range(WARM_UP):
        next(iterator)
    wall, cores = time.perf_counter(), time.process_time()
    for _ in range(count):
        next(iterator)
    return (time.perf_counter() - wall) / count, (time.process_time() - cores) / count


def _step_seconds(job: Job, batches, count: int) -> float:
    """Returns seconds of a step, as `fit` runs it."""
    trainer, strategy = job.trainer, job.trainer.distribute_strategy
    iterator = iter(parallel(distribute(strategy, parallel(batches), divided=False)))
    calls = -(-count // trainer.steps_per_execution)
    for _ in range(WARM_UP):
        logs = trainer.train_function(iterator)
    float(logs["loss"])  # waits for the device
    begun = time.perf_counter()
    for _ in range(calls):
        logs = trainer.train_function(iterator)
    float(logs["loss"])
    return (time.perf_counter() - begun) / (calls * trainer.steps_per_execution)


def advice(speed: Speed, recipe: Recipe, job: Job) -> list[str]:
    """Returns what would make the training faster, one line each."""
    found, on_gpu = [], any("GPU" in device for device in visible_devices())
    if speed.utilisation < BUSY:
        found.append(_slowest_stage(recipe, job))
        if not on_gpu:
            found.append("the step and the input share the processor, so each slows the other down")
    if speed.step_ms < SHORT_STEP and recipe.steps_per_execution == 1:
        found.append("the step is short: `steps_per_execution: 10` runs ten steps in a call")
    if on_gpu and recipe.precision == "float32":
        found.append("`precision: auto` uses the GPU's units for bfloat16")
    if on_gpu and not recipe.jit_compile:
        found.append("`jit_compile: true` lets XLA join small operations; measure whether it pays")
    if recipe.batch_size % speed.devices:
        found.append(f"make batch_size a multiple of {speed.devices}: some devices wait for the others")
    return found


def _slowest_stage(recipe: Recipe, job: Job) -> str:
    if job.source.batches is not None:
        return "the device waits for the input"
    settings = {"batch_size": recipe.batch_size, "seed": recipe.seed, "images": IMAGES}
    stages = measure_stages(job.source, job.trainer.preprocessing, recipe.data, **settings)[:-2]
    slowest = max(stages, key=lambda stage: stage.cpu_microseconds)
    text = f"the device waits for the input, whose slowest stage is {slowest.name!r}"
    help_ = next((line for word, line in HELP.items() if word in slowest.name), None)
    return f"{text}: {help_}" if help_ else text
