"""Which examples an epoch has, in which order: a shuffle, all classes equally often, several copies of each image.

An example is drawn as a number: its index in the source plus the source's size for each copy of it that came before in
the epoch. `number % size` is read; the whole number seeds its augmentation, so that no two copies are alike.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.sources import Source


def make_sampler(source: Source, options, batch_size: int) -> Callable:
    """Returns (seed, skipped, count) -> the epoch's records `skipped` to `count`, (number, image or empty, label or 0).

    Args:
        source: what the records come from.
        options: `DataOptions`, of which `class_balanced` and `augmentation.repeats` count.
        batch_size: the global batch, of which `skipped` and `count` are multiples.
    """
    repeats, places = options.augmentation.repeats, _spread(batch_size, options.augmentation.repeats)
    if not source.stream:
        order = class_balanced(labels_of(source)) if options.class_balanced else _shuffle(source.size)

        def draw(seed, skipped, count):
            numbers = order(seed)[: -(-count // repeats)]
            numbers = tf.reshape(_copies(numbers, repeats, source.size)[:count], [-1, batch_size])
            numbers = tf.reshape(tf.gather(numbers, places, axis=1), [-1])[skipped:]
            return tf.data.Dataset.from_tensor_slices(numbers).map(lambda number: (number, tf.constant(b""), 0))

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
        return records.map(lambda *batch: tuple(tf.gather(part, places) for part in batch)).unbatch().skip(skipped)

    return draw_from_stream


def _shuffle_stream(records: tf.data.Dataset, buffer: int, seed) -> tf.data.Dataset:
    """Shuffles by `seed`, a tensor, alone.

    `Dataset.shuffle` adds the seed of the process to it, and in a graph fails where that is 0: it compares both with 0
    in Python. The function below has a graph of its own, with a seed of its own.
    """

    def shuffled(seed):
        tf.compat.v1.get_default_graph().seed = 1
        return records.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(seed).flat_map(tf.autograph.experimental.do_not_convert(shuffled))


def _shuffle(size: int) -> Callable:
    return lambda seed: tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), seed)


def class_balanced(labels: np.ndarray) -> Callable:
    """Returns seed -> the order of Shen, Lin and Huang 2015, "Relay Backpropagation", section 3.4.

    The classes come in rounds, each in an order of its own. A class gives its images in turn, and shuffles them
    whenever it has given all of them.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    size, rounds = len(labels), -(-len(labels) // len(classes))
    numbers, groups, starts = [], [], []
    for label in range(len(classes)):
        images = np.flatnonzero(labels == label)
        copies = np.arange(-(-rounds // len(images)))
        starts.append(sum(map(len, numbers)))
        numbers.append((images + size * copies[:, np.newaxis]).ravel())
        groups.append(np.repeat(label * rounds + copies, len(images)))
    numbers, groups = np.concatenate(numbers), np.concatenate(groups).astype("float64")
    starts = np.array(starts)

    def order(seed):
        first, second = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        # Sorted by class and copy, and within them by chance.
        chance = tf.random.stateless_uniform([len(groups)], first, dtype=tf.float64)
        shuffled = tf.gather(numbers, tf.argsort(groups + chance))
        turns = tf.argsort(tf.random.stateless_uniform([rounds, len(classes)], second), axis=1)
        places = tf.gather(starts, turns) + tf.range(rounds, dtype=tf.int64)[:, tf.newaxis]
        return tf.gather(shuffled, tf.reshape(places, [-1]))

    return order


def labels_of(source: Source) -> np.ndarray:
    """Returns the label of every example of a source with an index, without reading its images."""
    if source.paths:
        numbers = {name: number for number, name in enumerate(source.classes)}
        return np.array([numbers[Path(path).parent.name] for path in source.paths])
    labels = tf.function(lambda: source.fetch(tf.range(source.size, dtype=tf.int64))[1])
    return labels.get_concrete_function()().numpy()  # the graph is pruned: only what the labels need is run


def _copies(numbers, repeats: int, size: int):
    """Returns each of the int64 `numbers` `repeats` times, one behind the other, as that many copies."""
    copies = tf.range(repeats, dtype=tf.int64)
    # A number that is a later copy already, of a balanced class, stands `repeats` times as high.
    first = numbers % size + numbers // size * size * repeats
    return tf.reshape(first[:, tf.newaxis] + copies * size, [-1])


def _spread(batch_size: int, repeats: int) -> np.ndarray:
    """Returns where each place of a batch takes its example from: copies go to the shares of different devices."""
    return np.concatenate([np.arange(first, batch_size, repeats) for first in range(repeats)])
