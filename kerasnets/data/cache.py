"""A source whose files are kept in memory, as they are: a JPEG takes a tenth of the room of its pixels."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from kerasnets.data.errors import first_line
from kerasnets.data.sources import Source


def in_memory(source: Source) -> Source:
    """Returns `source` with every file read once, and from then on answered from memory.

    A stream becomes a source with an index, whose order is shuffled as a whole instead of in a buffer. Pixels that lie
    in memory already are left alone. The files stay with `source`: asked again, they are not read again.

    Raises:
        OSError: when a file cannot be read.
        ValueError: when the files take more than half of the memory that is free.
    """
    if not source.encoded:
        return source
    if not source.memory:
        source.memory.append(_read(source))
    contents, labels = source.memory[0]
    return dataclasses.replace(
        source, stream=None, paths=(), fetch=lambda index: (tf.gather(contents, index), tf.gather(labels, index))
    )


def _read(source: Source):
    """Returns the files, string [N], and their labels, int32 [N]."""
    if source.stream:
        records = source.stream()
    else:
        records = tf.data.Dataset.range(source.size).map(
            lambda index: (index, *source.fetch(index)), num_parallel_calls=tf.data.AUTOTUNE
        )
    contents, labels, room = [b""] * source.size, [0] * source.size, _free_memory() / 2
    try:
        for index, image, label in records.as_numpy_iterator():
            contents[index], labels[index] = image, label
            room -= len(image)
            if room < 0:
                raise ValueError(
                    f"The files of {source.name}/{source.split} take more than half of the free memory. Set data.cache "
                    "to none. Received: cache='memory'"
                )
    except tf.errors.OpError as error:
        raise OSError(f"{source.name}/{source.split} could not be read: {first_line(error)}") from error
    return tf.constant(contents), tf.constant(labels, tf.int32)


def _free_memory() -> float:
    """Returns the bytes of memory that are free or could be, as Linux tells it; elsewhere no bound is known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")
