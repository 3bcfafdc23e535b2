"""Loads the chunks of batches, several at a time and in their order, here or through a data service."""

import os
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from kerasnets.data.chunks import Cut, cut_batch, numbered_chunks, unread
from kerasnets.data.loading import load_batch, rescue
from kerasnets.data.service import REMOTE, through_service
from kerasnets.data.sources.source import Source

# The largest batch that one thread loads as a whole, and the number of images that it loads of a larger one.
LARGE, CHUNK = 256, 64


class Plan(NamedTuple):
    """Which records the chunks of a source with an index have.

    Attributes:
        cut: of the batches.
        order, steps: as for `numbered_chunks`.
        base: (epoch, records) -> (base, records); the transformation of an image gets `base`.
        chunks: the first number of a chunk, and the one behind the last.
    """

    cut: Cut
    order: Callable
    steps: int
    base: Callable
    chunks: tuple[int, int]


def cut_share(batch_size: int, share: slice, parts: int, service: str | None) -> Cut:
    """Cuts the share of a batch into as many parts, and these into the chunks that a thread or worker loads."""
    part = len(range(batch_size)[share]) // parts
    return cut_batch(batch_size, share, parts, REMOTE if service else CHUNK if part > LARGE else part)


def load_numbered(source: Source, plan: Plan, transform, service: str | None) -> tf.data.Dataset:
    """Loads the chunks of a plan, here or through a data service; otherwise as `load_records`."""
    cut = plan.cut

    def records(numbers):
        chunks = numbered_chunks(cut, plan.order, plan.steps, numbers)
        return chunks.map(lambda chunk, epoch, numbers: (chunk, *plan.base(epoch, unread(numbers))))

    if not service:
        chunks = records(tf.data.Dataset.range(*plan.chunks)).map(lambda chunk, *record: record)
        return load_records(source, cut, chunks, transform)

    def load(chunk, base, batch):
        return chunk, load_batch(source, base, batch, transform, cut.length)

    def load_all(numbers):
        return _parallel_map(records(numbers), load, tf.data.AUTOTUNE, False)

    received = through_service(service, load_all, plan.chunks, source.bad_images)
    return _parallel_map(received, lambda loaded: rescue(source, loaded, transform, remote=True))


def load_records(source: Source, cut: Cut, records: tf.data.Dataset, transform) -> tf.data.Dataset:
    """Loads chunks of records, several at a time and in their order.

    Args:
        source: where the images are fetched from.
        cut: how long a chunk is at most.
        records: (base, (numbers [n], images [n] or empty strings, labels [n])).
        transform: (image, number, base) -> uint8 [S, S, C].

    Returns:
        A dataset of (images uint8 [length, S, S, C], labels int32 [length], good bool [length]). What fills a shorter
        chunk, and images that could not be decoded, are black and not good.
    """

    def load(base, chunk):
        return rescue(source, load_batch(source, base, chunk, transform, cut.length), transform)

    return _parallel_map(records, load).prefetch(2)


def _parallel_map(dataset: tf.data.Dataset, function, calls=None, deterministic=True) -> tf.data.Dataset:
    """Maps a function that has no Python conditions on tensors, by default on all cores of this machine."""
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=calls or os.cpu_count(), deterministic=deterministic)
