"""Single records of TFRecord files, found by where they begin, so that a stream can be read in any order."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from kerasnets.data.sources.source import Source

# Of each record: its length (8 bytes) and a checksum of it, the record, a checksum of the record.
_BEFORE, _BEHIND = 12, 4


def with_index(source: Source) -> Source:
    """Returns the source with `fetch`, if it is a stream, and otherwise as it is. Its order stays.

    Raises:
        ValueError: its images cannot be read one by one.
    """
    if not source.stream:
        return source
    if not source.records:
        raise ValueError(
            f"A data service reads folders, arrays, and TFRecord files; {source.name} is none of them. Write it as "
            "shards first, or leave data.service out."
        )
    return dataclasses.replace(source, stream=None, fetch=source.records())


def record_reader(parts: Iterable[tuple[str, int, int]], parse: Callable) -> Callable:
    """Returns index -> (image, label), which reads one record.

    Args:
        parts: (file, records to skip, records to take), in the order of the source.
        parse: a serialized record -> (image, int32 label).

    Raises:
        OSError: a file cannot be read.
    """
    parts = list(parts)
    with ThreadPoolExecutor() as pool:
        bounds = [
            found[:, skip : skip + take]
            for found, (_, skip, take) in zip(pool.map(lambda part: _bounds(part[0]), parts), parts, strict=True)
        ]
    files, of_record = [file for file, _, _ in parts], np.repeat(np.arange(len(parts)), [b.shape[1] for b in bounds])
    files, of_record, bounds = tf.constant(files), tf.constant(of_record), tf.constant(np.concatenate(bounds, 1))

    def fetch(index):
        file, (start, length, behind) = tf.gather(files, tf.gather(of_record, index)), tf.unstack(bounds[:, index])
        # A file of one record, between a head and a tail that are not read.
        records = tf.data.FixedLengthRecordDataset(file, length, start, behind, buffer_size=2**17)
        return parse(records.get_single_element())

    return fetch


def _bounds(file: str) -> np.ndarray:
    """Returns of each record of a TFRecord file the bytes before it, in it and behind it, int64 [3, N].

    Only the lengths of the records are read.
    """
    size = os.path.getsize(file)
    starts, lengths, place = [], [], 0
    with open(file, "rb", buffering=0) as stream:
        while place < size:
            stream.seek(place)
            starts.append(place + _BEFORE)
            lengths.append(int.from_bytes(stream.read(8), "little"))
            place = starts[-1] + lengths[-1] + _BEHIND
    starts, lengths = np.array(starts, np.int64), np.array(lengths, np.int64)
    return np.stack([starts, lengths, size - starts - lengths])
