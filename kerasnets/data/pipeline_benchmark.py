"""How fast each stage of the training pipeline is on its own, and all of them together."""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from kerasnets.data.determinism import parallel
from kerasnets.data.images.per_batch import batch_steps
from kerasnets.data.images.per_image import fold_in, training_stages
from kerasnets.data.pipeline import training_batches
from kerasnets.data.preprocess import normalise, override
from kerasnets.data.sources import Source
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

WHOLE = "whole pipeline"
# Images held in memory, decoded, while a stage is measured.
_HELD = 64


class Stage(NamedTuple):
    """One stage: images a second with all cores at it alone, and microseconds of one core per image."""

    name: str
    images_per_second: float
    cpu_microseconds: float


def measure_stages(
    source: Source, preprocessing: Preprocessing, options: DataOptions, *, batch_size: int, seed: int, images: int
) -> list[Stage]:
    """Measures the stages of `training_batches` one by one, then the whole.

    Each stage gets what the one before made of the first images, kept in memory, again and again; files come from the
    operating system's cache after the first time. The last entry, `WHOLE`, is the pipeline as training has it.

    Args:
        source, preprocessing, options, batch_size, seed: as for `training_batches`.
        images: how many to time in each stage.

    Raises:
        RuntimeError: when none of the first images can be decoded.
    """
    preprocessing = override(preprocessing, options)
    base = tf.constant([seed, 1], tf.int64)
    stages, held = [], _records(source)
    if source.fetch and source.encoded:
        held = _measure(stages, "read", held, lambda index, image: (index, source.fetch(index)[0]), images)
    for name, number, step in training_stages(preprocessing, options.augmentation):

        def run(index, image, step=step, number=number):
            return index, step(image, fold_in(fold_in(base, index), number))

        held = _measure(stages, name, held, run, images)
    size = min(batch_size, _HELD)
    batches = held.repeat().batch(size, drop_remainder=True).take(max(1, _HELD // size)).cache()
    finish = batch_steps(options.augmentation, len(source.classes))
    if options.augmentation.mixup or options.augmentation.cutmix or options.augmentation.random_cutout:
        labels = tf.zeros([size], tf.int32)
        batches = _measure(stages, "mix", batches, lambda i, x: (i, finish(x, labels, base)[0]), images, size)
    _measure(stages, "normalise, in the step", batches, lambda i, x: (i, normalise(x, preprocessing)), images, size)
    whole = training_batches(source, preprocessing, options, batch_size=batch_size, seed=seed)
    return [*stages, _timed(WHOLE, whole, images, batch_size)]


def _records(source: Source) -> tf.data.Dataset:
    """Returns (index, image) of the first examples; of a source with an index, images still to be read are empty."""
    count = min(source.size, _HELD)
    if source.stream:
        return source.stream().take(count).map(lambda index, image, label: (index, image)).cache()
    indices = tf.data.Dataset.range(count)
    if source.encoded:
        return indices.map(lambda index: (index, tf.constant(b"")))
    return indices.map(lambda index: (index, source.fetch(index)[0])).cache()


def _measure(stages: list, name: str, held: tf.data.Dataset, step: Callable, images: int, size: int = 1):
    """Appends how fast `step` is on the examples of `held`, and returns what it makes of them."""
    step = tf.function(step, autograph=False)  # which is optimised, as the pipeline's own is
    made = held.map(step).ignore_errors().cache()
    if not sum(1 for _ in made):
        raise RuntimeError(f"Not one of the first images comes through the stage {name!r}.")

    def touched(*example):
        # One number of the result, so that Python's own work per example stays out of the figure.
        result = step(*example)[1]
        return (
            tf.strings.length(result) if result.dtype == tf.string else tf.cast(tf.reshape(result, [-1])[0], tf.int32)
        )

    together = max(1, 32 // size)
    results = held.repeat().map(touched, os.cpu_count(), deterministic=True).ignore_errors().batch(together)
    stages.append(_timed(name, results.prefetch(2), images, size * together))
    return made


def _timed(name: str, batches: tf.data.Dataset, images: int, size: int) -> Stage:
    """Times batches after the first few, by which time all threads have begun."""
    iterator, count = iter(parallel(batches)), -(-images // size)
    for _ in range(4):
        next(iterator)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        next(iterator)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Stage(name, count * size / wall, 1e6 * cpu / (count * size))
