"""The speed of each stage of the training pipeline on its own, and of all of them together."""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from kerasnets.data.images.per_batch import draw_mixing, mix, random_cutout
from kerasnets.data.images.per_image import fold_in, for_training, normalise, training_operations
from kerasnets.data.pipeline import parallel, training_batches
from kerasnets.data.sources.source import Source
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

WHOLE = "whole pipeline"
# The number of images that a stage is measured on, again and again.
_IMAGES = 64


class Stage(NamedTuple):
    """One stage: images a second when all cores run it alone, and microseconds of one core per image."""

    name: str
    images_per_second: float
    cpu_microseconds: float


def measure_stages(
    source: Source, preprocessing: Preprocessing, options: DataOptions, *, batch_size: int, seed: int, images: int
) -> list[Stage]:
    """Measures the stages of `training_batches` one by one, then the whole pipeline.

    The input of a stage is the output of the stage before for the first images; it is kept in memory and repeated.
    Files come from the cache of the operating system after the first time. The last entry, `WHOLE`, is the pipeline as
    training runs it.

    Args:
        source, preprocessing, options, batch_size, seed: as for `training_batches`.
        images: how many images are timed in each stage.

    Raises:
        RuntimeError: none of the first images can be decoded.
    """
    preprocessing = for_training(preprocessing, options)
    base = tf.constant([seed, 1], tf.int64)
    stages, inputs = [], _records(source)
    if source.fetch and source.encoded:
        inputs = _measure(stages, "read", inputs, lambda index, image: (index, source.fetch(index)[0]), images)
    for name, number, operation in training_operations(preprocessing, options.augmentation):

        def run(index, image, operation=operation, number=number):
            return index, operation(image, fold_in(fold_in(base, index), number))

        inputs = _measure(stages, name, inputs, run, images)
    size = min(batch_size, _IMAGES)
    batches = inputs.repeat().batch(size, drop_remainder=True).take(max(1, _IMAGES // size)).cache()
    augmentation = options.augmentation
    if augmentation.random_cutout:
        cut = random_cutout(augmentation.random_cutout, size)
        batches = _measure(stages, "random_cutout", batches, lambda i, x: (i, cut(x, base)), images, size)
    if augmentation.mixup or augmentation.cutmix:
        draws, labels = draw_mixing(augmentation, size, preprocessing.size, base), tf.zeros([size], tf.int32)
        mixed = lambda i, x: (i, mix(x, labels, draws, len(source.classes))[0])  # noqa: E731
        batches = _measure(stages, "mix, in the step", batches, mixed, images, size)
    _measure(stages, "normalise, in the step", batches, lambda i, x: (i, normalise(x, preprocessing)), images, size)
    whole = training_batches(source, preprocessing, options, batch_size=batch_size, seed=seed)
    return [*stages, _timed(WHOLE, whole, images, batch_size)]


def _records(source: Source) -> tf.data.Dataset:
    """Returns (index, image) of the first examples; the images of a source with an index are empty until read."""
    count = min(source.size, _IMAGES)
    if source.stream:
        return source.stream().take(count).map(lambda index, image, label: (index, image)).cache()
    indices = tf.data.Dataset.range(count)
    if source.encoded:
        return indices.map(lambda index: (index, tf.constant(b"")))
    return indices.map(lambda index: (index, source.fetch(index)[0])).cache()


def _measure(stages: list, name: str, inputs: tf.data.Dataset, run: Callable, images: int, size: int = 1):
    """Appends the speed of `run` on the examples of `inputs` to `stages`, and returns its outputs."""
    run = tf.function(run, autograph=False)  # TensorFlow optimises it as it does the real pipeline.
    outputs = inputs.map(run).ignore_errors().cache()
    if not sum(1 for _ in outputs):
        raise RuntimeError(f"All of the first images fail in the stage {name!r}.")

    def one_number(*example):
        # Hands on one number of the result, so that Python's work per example stays out of the figure.
        result = run(*example)[1]
        return (
            tf.strings.length(result) if result.dtype == tf.string else tf.cast(tf.reshape(result, [-1])[0], tf.int32)
        )

    examples = max(1, 32 // size)
    results = inputs.repeat().map(one_number, os.cpu_count(), deterministic=True).ignore_errors().batch(examples)
    stages.append(_timed(name, results.prefetch(2), images, size * examples))
    return outputs


def _timed(name: str, batches: tf.data.Dataset, images: int, size: int) -> Stage:
    """Times batches after the first few, when all threads have started."""
    iterator, count = iter(parallel(batches)), -(-images // size)
    for _ in range(4):
        next(iterator)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        next(iterator)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Stage(name, count * size / wall, 1e6 * cpu / (count * size))
