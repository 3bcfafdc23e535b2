"""Warnings about requests that can be met and are probably not what the user meant."""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.images.decode import decode_image, to_pixels
from kerasnets.data.images.per_image import normalise
from kerasnets.data.sources.source import Source, counts_of
from kerasnets.registry import Preprocessing

# How many images are looked at.
IMAGES = 8
# A run of so few steps is a trial, often with a smaller batch; its learning rate is not checked.
TRIAL_STEPS = 10
# Rates for a batch of 256 and how they scale with the batch. SGD with momentum 0.9: Goyal et al. 2017; RMSprop:
# MnasNet's and EfficientNet's; AdamW: the usual 1e-3 with Malladi et al. 2022's square root; LAMB: Wightman et al.
# 2021, with the square root of You et al. 2019.
RULES = {"sgd": (0.1, 1.0), "rmsprop": (0.016, 1.0), "adamw": (1e-3, 0.5), "lamb": (2e-3, 0.5)}
# A learning rate is far from the rule if it differs by this factor.
FAR = 32.0
# `CompareSpeeds` lets so many calls of the training function pass, measures so many, and reads so many batches.
WARM_UP, CALLS, BATCHES = 3, 5, 4


def advise(job) -> list[str]:
    """Returns the warnings about a run before its first step, one line each."""
    recipe, replicas = job.recipe, job.trainer.distribute_strategy.num_replicas_in_sync
    found = check_pixels(job.source, job.trainer.preprocessing)
    if job.steps_per_epoch * recipe.epochs > TRIAL_STEPS:
        found += check_learning_rate(recipe.optimizer, recipe.batch_size)
    for source in job.sources.values():
        found += check_classes(source)
    if recipe.jit_compile and not job.trainer.jit_step:
        found.append(
            "jit_compile is left out: on a CPU, XLA takes many times as long for grouped and depthwise "
            "convolutions, which this network has"
        )
    if recipe.batch_size % replicas:
        found.append(
            f"batch_size={recipe.batch_size} is not a multiple of {replicas} devices: some of them wait for the "
            f"others, and batch norm sees unequal parts; try {recipe.batch_size - recipe.batch_size % replicas}"
        )
    return found


def check_pixels(source: Source, preprocessing: Preprocessing) -> list[str]:
    """Warns if the values of a few images do not fit the normalisation, which expects 0-255 pixels."""
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
            f"normalised pixels have mean {mean:.3g} and standard deviation {deviation:.3g} instead of about 0 and 1: "
            "preprocessing.mean and preprocessing.std are in units of 0-255"
        ]
    return []


def _samples(source: Source, channels: int) -> list:
    """Returns a few images as uint8 pixels, with `None` for each that TensorFlow cannot decode."""
    if source.stream:
        images = [image for _, image, _ in source.stream().take(IMAGES)]
    else:
        places = np.linspace(0, source.size - 1, min(IMAGES, source.size)).astype("int64")
        images = [source.fetch(tf.constant(place))[0] for place in places]
    return [_decoded(image, channels) if source.encoded else to_pixels(image, channels) for image in images]


def _decoded(image, channels):
    try:
        return decode_image(image, channels)
    except tf.errors.OpError:
        return None


def check_classes(source: Source) -> list[str]:
    """Warns of classes without an image in a split. A stream, which would have to be read whole, is not checked."""
    if source.stream:
        return []
    counts = counts_of(source)
    missing = [name for name, count in zip(source.classes, counts, strict=True) if not count]
    more = f" (and {len(missing) - 1} more classes)" if len(missing) > 1 else ""
    return [f"no image of class {missing[0]!r}{more} in {source.name}/{source.split}"] if missing else []


def check_learning_rate(options, batch_size: int) -> list[str]:
    """Warns if the learning rate is far from the rule for its optimizer and batch size."""
    base, power = RULES[options.name]
    usual = base * (batch_size / 256) ** power
    given = options.learning_rate
    if options.name == "sgd":  # momentum lets each gradient act with rate / (1 - momentum) in all; the rule has 0.9
        given *= 0.1 / (1.0 - options.momentum)
    if 1 / FAR < given / usual < FAR:
        return []
    return [
        f"optimizer.learning_rate={options.learning_rate:g} is far from what is usual for {options.name} with "
        f"batch_size={batch_size}, about {usual * options.learning_rate / given:.2g}"
    ]


def slow_pipeline(reading: float, step: float) -> str | None:
    """Returns a warning if a batch takes clearly longer to read than to train on. Both times are in seconds."""
    if reading < 1.2 * step:
        return None
    return (
        f"the pipeline is slower than the step: reading a batch takes {1e3 * reading:.3g} ms, a step "
        f"{1e3 * step:.3g} ms; smaller files, data.augmentation.antialias=false or more processor cores would help"
    )


class CompareSpeeds(keras.callbacks.Callback):
    """Measures, once in a run, whether a batch takes longer to read than to train on.

    After a few calls of the training function it reads some batches and times them. Meanwhile the pipeline of the run
    fills its buffer. So the fastest of the next calls did not wait for data; its time is that of the step. With
    `steps_per_execution` above 1 it may have waited: then the step seems slower, and a warning is given less often.

    Args:
        batches: returns a new dataset like the one that the run reads.
        executed: the steps in a call.
        warn: is called with the warning, one line.
    """

    def __init__(self, batches, executed: int, warn):
        super().__init__()
        self.batches, self.executed, self.warn = batches, executed, warn
        self.calls, self.reading, self.times = 0, None, []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.calls += 1
        if self.calls <= WARM_UP + CALLS:
            float(logs["loss"])  # waits for the device
        if self.calls == WARM_UP:
            self.reading = seconds_a_batch(self.batches())
        elif WARM_UP < self.calls <= WARM_UP + CALLS:
            self.times.append((time.perf_counter() - self.begun) / self.executed)
        if self.calls == WARM_UP + CALLS and (text := slow_pipeline(self.reading, min(self.times))):
            self.warn(text)


def seconds_a_batch(dataset) -> float:
    """Returns the median time in seconds that a batch takes to read; the first two are not counted."""
    iterator, times = iter(dataset), []
    for _ in range(2 + BATCHES):
        begun = time.perf_counter()
        next(iterator)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[2:])
