"""The examples of an epoch and their order: shuffled, class-balanced, or with several copies of each image.

An example is drawn as a number: its index in the source, plus the size of the source for each earlier copy of it in the
epoch. The image at `number % size` is read. The number itself seeds its augmentation, so that the copies differ.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasnets.data.sources.source import Source, by_label, labels_of
from kerasnets.recipe.data_options import DataOptions


def make_sampler(source: Source, options: DataOptions, batch_size: int) -> Callable:
    """Returns (seed, skipped, count) -> records `skipped` to `count` of an epoch, (number, image or empty, label or 0).

    Args:
        source: what the records come from.
        options: only `class_balanced` and `augmentation.repeats` are used.
        batch_size: the global batch; `skipped` and `count` are multiples of it.
    """
    repeats, places = options.augmentation.repeats, _spread(batch_size, options.augmentation.repeats)
    if not source.stream:
        numbers = epoch_order(source, options, batch_size)

        def draw(seed, skipped, count):
            return tf.data.Dataset.from_tensor_slices(numbers(seed, count)[skipped:]).map(index_only)

        return draw

    def draw_from_stream(seed, skipped, count):
        number = tf.bitcast(tf.random.stateless_uniform([], seed, None, None, tf.int64), tf.int64)
        records = source.stream(tf.random.experimental.stateless_fold_in(seed, 0))
        records = _shuffle_stream(records, source.shuffle_buffer, number)
        if repeats == 1:
            return records.take(count).skip(skipped)

        def copies(number, *example):
            numbers = tf.data.Dataset.from_tensor_slices(_copies(number[tf.newaxis], repeats, source.size))
            return numbers.map(lambda copy: (copy, *example))

        records = records.take(-(-count // repeats)).flat_map(copies).take(count).batch(batch_size)
        return records.map(lambda *batch: tuple(tf.gather(tensor, places) for tensor in batch)).unbatch().skip(skipped)

    return draw_from_stream


def epoch_order(source: Source, options: DataOptions, batch_size: int) -> Callable:
    """Returns (seed, count) -> int64 [count], the numbers of an epoch's first records; no image is read.

    Args: as for `make_sampler`.
    """
    repeats, places = options.augmentation.repeats, _spread(batch_size, options.augmentation.repeats)
    if source.order:
        indices = dataclasses.replace(source, stream=lambda seed=None: source.order(seed).map(index_only))
        draw = make_sampler(indices, options, batch_size)
        return lambda seed, count: draw(seed, 0, count).map(lambda number, *_: number).batch(count).get_single_element()
    order = class_balanced(labels_of(source)) if options.class_balanced else _shuffle(source.size)

    def numbers(seed, count):
        drawn = order(seed)[: -(-count // repeats)]
        drawn = tf.reshape(_copies(drawn, repeats, source.size)[:count], [-1, batch_size])
        return tf.reshape(tf.gather(drawn, places, axis=1), [-1])

    return numbers


def index_only(index):
    """Returns the record of an index before its image is read."""
    return index, tf.constant(b""), tf.constant(0)


def _shuffle_stream(records: tf.data.Dataset, buffer: int, seed) -> tf.data.Dataset:
    """Shuffles by `seed` (a tensor) alone, whatever the global seed of the process is.

    `Dataset.shuffle` combines its seed with the global seed. Where the global seed is 0, it also compares its own seed
    with 0 in Python, which fails for a tensor. `shuffled` has its own graph, where the global seed is always 1.
    """

    def shuffled(seed):
        tf.compat.v1.get_default_graph().seed = 1
        return records.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(seed).flat_map(tf.autograph.experimental.do_not_convert(shuffled))


def _shuffle(size: int) -> Callable:
    return lambda seed: tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), seed)


def class_balanced(labels: np.ndarray) -> Callable:
    """Returns seed -> the class-balanced order of Shen, Lin and Huang 2015, "Relay Backpropagation", section 3.4.

    A round has one image of every class, in a random order of classes. The images of a class come in a shuffled order,
    and are shuffled again whenever all of them have come.
    """
    size, classes = len(labels), [images for _, images in by_label(labels)]
    rounds = -(-size // len(classes))
    numbers, groups = [], []
    for label, images in enumerate(classes):
        copies = np.arange(-(-rounds // len(images)))
        numbers.append((images + size * copies[:, np.newaxis]).ravel())
        groups.append(np.repeat(label * rounds + copies, len(images)))
    starts = np.cumsum([0, *map(len, numbers)])[:-1]
    with tf.device("CPU:0"):
        numbers, groups = tf.constant(np.concatenate(numbers)), tf.constant(np.concatenate(groups), tf.float64)

    def order(seed):
        first, second = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        # Sorted by class and copy; random within each of them.
        noise = tf.random.stateless_uniform(tf.shape(groups), first, dtype=tf.float64)
        shuffled = tf.gather(numbers, tf.argsort(groups + noise))
        turns = tf.argsort(tf.random.stateless_uniform([rounds, len(classes)], second), axis=1)
        places = tf.gather(starts, turns) + tf.range(rounds, dtype=tf.int64)[:, tf.newaxis]
        return tf.gather(shuffled, tf.reshape(places, [-1]))

    return order


def _copies(numbers, repeats: int, size: int):
    """Returns `repeats` copies of each of the int64 `numbers`; the copies of one image stand next to each other."""
    copies = tf.range(repeats, dtype=tf.int64)
    # A class-balanced order has copies already. Multiplying their numbers by `repeats` keeps the new copies apart.
    first = numbers % size + numbers // size * size * repeats
    return tf.reshape(first[:, tf.newaxis] + copies * size, [-1])


def _spread(batch_size: int, repeats: int) -> np.ndarray:
    """Returns the order of a batch in which the copies of an image go to the shares of different devices."""
    return np.concatenate([np.arange(first, batch_size, repeats) for first in range(repeats)])
