"""Batches are cut into chunks, the unit that one thread, or a worker of a data service, loads at a time.

A chunk has a number, which alone decides its records: chunk `k` is a part of step `k // cut`, where `cut` is the number
of chunks of a batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Cut(NamedTuple):
    """How the batches are cut.

    Attributes:
        batch_size: the global batch.
        starts, stops: where each chunk of a batch begins and ends in it.
        length: of the longest chunk.
        part: how many images of a batch make one element of the pipeline, such as those of one device.
        chunks: of how many chunks such an element is joined.
    """

    batch_size: int
    starts: np.ndarray
    stops: np.ndarray
    length: int
    part: int
    chunks: int


def cut_batch(batch_size: int, share: slice, parts: int, largest: int) -> Cut:
    """Cuts the `share` of a batch into `parts` equal parts, and each of them into chunks of at most `largest` images.

    The chunks of a part are equally long, but for the last one.
    """
    first, stop, _ = share.indices(batch_size)
    part = (stop - first) // parts
    chunks = -(-part // largest)
    length = -(-part // chunks)
    within = np.arange(0, chunks * length, length)
    begins = first + part * np.arange(parts)[:, np.newaxis]
    starts, stops = begins + within, begins + np.minimum(within + length, part)
    return Cut(batch_size, starts.ravel(), stops.ravel(), length, part, chunks)


def chunks_of(cut: Cut, base, batch) -> tf.data.Dataset:
    """Returns the chunks of a batch of records, as (base, records)."""
    bounds = tf.data.Dataset.from_tensor_slices((cut.starts, cut.stops))
    return bounds.map(lambda start, stop: (base, tuple(tensor[start:stop] for tensor in batch)))


def chunk_numbers(cut: Cut, order, place):
    """Returns the numbers of the records of a chunk.

    Args:
        order: int64 [n], the numbers of an epoch in their order.
        place: of the chunk in the epoch, int64.
    """
    batch, within = place // len(cut.starts), place % len(cut.starts)
    first = batch * cut.batch_size
    return order[first + tf.gather(cut.starts, within) : first + tf.gather(cut.stops, within)]


def numbered_chunks(cut: Cut, order: Callable, steps: int, numbers: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the chunks of a source with an index, as (chunk number, epoch, numbers of the records).

    Args:
        cut: of the batches.
        order: epoch -> int64 [n], the numbers of an epoch in their order. It is called once for each epoch.
        steps: the number of batches in an epoch.
        numbers: the numbers of the wanted chunks; neighbours are of the same epoch, as far as possible.
    """

    def chunk(state, number):
        epoch, place = number // (steps * len(cut.starts)), number % (steps * len(cut.starts))
        current = tf.cond(tf.equal(epoch, state[0]), lambda: state[1], lambda: order(epoch))
        return (epoch, current), (number, epoch, chunk_numbers(cut, current, place))

    before = tf.constant(-1, tf.int64), tf.zeros([0], tf.int64)
    return numbers.scan(before, tf.autograph.experimental.do_not_convert(chunk))


def unread(numbers):
    """Returns the records (numbers, images, labels) of a chunk before its images are read."""
    return numbers, tf.fill(tf.shape(numbers), ""), tf.zeros_like(numbers, tf.int32)


def joined(cut: Cut, chunks: tf.data.Dataset) -> tf.data.Dataset:
    """Joins the chunks of a part, tuples of tensors of the length of a chunk, and cuts off what fills the last one."""
    if cut.chunks == 1:
        return chunks

    def join(*tensors):
        return tuple(tf.reshape(t, [cut.chunks * cut.length, *t.shape[2:]])[: cut.part] for t in tensors)

    return chunks.batch(cut.chunks, drop_remainder=True).map(join)
