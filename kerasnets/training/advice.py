"""Warnings that help: requests that can be met and are probably not what was meant."""

import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.images.decode import decode_image
from kerasnets.data.images.per_image import to_pixels
from kerasnets.data.preprocess import normalise
from kerasnets.data.sources import Source
from kerasnets.registry import Preprocessing

LOOKED_AT = 8
# A run of so few steps is a look at the machinery, its batch often a small one for it.
A_LOOK = 10
# Rates for a batch of 256 and how they scale with the batch. SGD with momentum 0.9: Goyal et al. 2017; RMSprop:
# MnasNet's and EfficientNet's; AdamW: the usual 1e-3 with Malladi et al. 2022's square root; LAMB: Wightman et al.
# 2021, with the square root of You et al. 2019.
RULES = {"sgd": (0.1, 1.0), "rmsprop": (0.016, 1.0), "adamw": (1e-3, 0.5), "lamb": (2e-3, 0.5)}
FAR = 32.0
# How many calls of the training function the speeds of step and pipeline are read off.
WARM_UP, CALLS, BATCHES = 3, 5, 4


def advise(job) -> list[str]:
    """Returns the warnings that are due before the first step, one line each."""
    recipe, replicas = job.recipe, job.trainer.distribute_strategy.num_replicas_in_sync
    found = pixels(job.source, job.trainer.preprocessing)
    if job.steps_per_epoch * recipe.epochs > A_LOOK:
        found += rate(recipe.optimizer, recipe.batch_size)
    for source in job.sources.values():
        found += missing_classes(source)
    if recipe.batch_size % replicas:
        found.append(
            f"batch_size={recipe.batch_size} does not divide by {replicas} devices: some wait for the others, and "
            f"batch norm sees unequal parts; {recipe.batch_size - recipe.batch_size % replicas} would do"
        )
    return found


def pixels(source: Source, preprocessing: Preprocessing) -> list[str]:
    """Says when the range of a few images does not fit the network's normalisation of 0-255 pixels."""
    images = [image for image in _samples(source, len(preprocessing.mean)) if image is not None]
    if not images:
        return []
    highest = max(int(tf.reduce_max(image)) for image in images)
    values = np.concatenate([normalise(image[tf.newaxis], preprocessing).numpy().ravel() for image in images])
    mean, deviation = float(values.mean()), float(values.std())
    if highest < 64:
        place = f"{source.name}/{source.split}"
        return [f"the pixels of {len(images)} images of {place} reach {highest} of 255: scale them to 0-255"]
    if abs(mean) > 4 or not 0.1 < deviation < 10:
        return [
            f"normalised pixels have mean {mean:.3g} and deviation {deviation:.3g}, where about 0 and 1 are usual: "
            "preprocessing.mean and preprocessing.std are in units of 0-255"
        ]
    return []


def _samples(source: Source, channels: int) -> list:
    """Returns a few images as uint8 pixels, `None` for one that TensorFlow cannot decode."""
    if source.stream:
        images = [image for _, image, _ in source.stream().take(LOOKED_AT)]
    else:
        places = np.linspace(0, source.size - 1, min(LOOKED_AT, source.size)).astype("int64")
        images = [source.fetch(tf.constant(place))[0] for place in places]
    return [_decoded(image, channels) if source.encoded else to_pixels(image, channels) for image in images]


def _decoded(image, channels):
    try:
        return decode_image(image, channels)
    except tf.errors.OpError:
        return None


def missing_classes(source: Source) -> list[str]:
    """Says which classes have no image in a split; a stream is not read through for it."""
    if source.stream:
        return []
    if source.paths:
        present = {Path(path).parent.name for path in source.paths}
    else:
        labels = tf.function(lambda: source.fetch(tf.range(source.size, dtype=tf.int64))[1]).get_concrete_function()()
        present = {source.classes[label] for label in np.unique(labels)}
    missing = [name for name in source.classes if name not in present]
    more = f" (and {len(missing) - 1} more classes)" if len(missing) > 1 else ""
    return [f"no image of class {missing[0]!r}{more} in {source.name}/{source.split}"] if missing else []


def rate(options, batch_size: int) -> list[str]:
    """Says when a learning rate is far from the rule for its optimizer and batch."""
    base, power = RULES[options.name]
    usual = base * (batch_size / 256) ** power
    given = options.learning_rate
    if options.name == "sgd":  # the rule is for momentum 0.9; what counts is the sum over the momentum's memory
        given *= 0.1 / (1.0 - options.momentum)
    if 1 / FAR < given / usual < FAR:
        return []
    return [
        f"optimizer.learning_rate={options.learning_rate:g} is far from the usual one of {options.name} for "
        f"batch_size={batch_size}, about {usual * options.learning_rate / given:.2g}"
    ]


def slow_pipeline(reading: float, step: float) -> str | None:
    """Returns a warning when reading a batch takes clearly longer than a step on it; both in seconds."""
    if reading < 1.2 * step:
        return None
    return (
        f"the pipeline is slower than the step: reading a batch takes {1e3 * reading:.3g} ms, a step "
        f"{1e3 * step:.3g} ms; smaller files, data.augmentation.antialias=false or more processor cores would help"
    )


class CompareSpeeds(keras.callbacks.Callback):
    """Once a run, compares how long a batch takes to read with how long a step takes.

    After a few calls of the training function it reads some batches for nothing. While it does, the pipeline's own
    buffer fills, so that the fastest of the next calls is a step that did not wait (with `steps_per_execution` above 1
    it may have waited, and a warning is the surer).

    Args:
        batches: makes the dataset that the run reads.
        executed: steps in a call.
        warn: is given the warning, a line.
    """

    def __init__(self, batches, executed: int, warn):
        super().__init__()
        self.batches, self.executed, self.warn = batches, executed, warn
        self.calls, self.reading, self.times = 0, None, []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.calls += 1
        if self.calls == WARM_UP:
            self.reading = seconds_a_batch(self.batches())
        elif WARM_UP < self.calls <= WARM_UP + CALLS:
            self.times.append((time.perf_counter() - self.begun) / self.executed)
        if self.calls == WARM_UP + CALLS and (text := slow_pipeline(self.reading, min(self.times))):
            self.warn(text)


def seconds_a_batch(dataset) -> float:
    """Returns the median time that a batch takes to read, after the first two."""
    iterator, times = iter(dataset), []
    for _ in range(2 + BATCHES):
        begun = time.perf_counter()
        next(iterator)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[2:])
