"""`Source`, one split of labelled images, and what every kind of source shares.

A source with an index answers by number (`fetch`), so that any order can be drawn and skipped images are never read.
A source that is a stream (tensorflow-datasets, shards) is read from the start (`stream`). In both an image is the bytes
of a file, or uint8 pixels.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.errors import BadImages, first_line
from kerasnets.registry import did_you_mean


@dataclasses.dataclass(frozen=True)
class Source:
    """A split of labelled images.

    Attributes:
        name, split: what was opened.
        classes: the labels, in the order of the network's outputs.
        size: the number of examples.
        fetch: int64 index -> (image, int32 label), as graph operations; None for a stream.
        stream: (seed=None) -> finite tf.data.Dataset of (int64 index, image, int32 label), in the source's own order;
            a seed (integer [2]) may change the order of its shards. None for a source with an index.
        records: () -> `fetch` for a stream of TFRecord files, whose records are looked up first (records.py).
        order: (seed=None) -> the indices of `stream` in the same order; no image is read for it.
        encoded: True when an image is a scalar string (the bytes of a file), False when it is uint8 [height, width,
            channels].
        image_name: index -> the name of an image in messages, such as the path of its file.
        paths: the files of a folder; empty for other sources.
        labels: () -> the label of every example, if that is known without `fetch`.
        shuffle_buffer: how many examples of a stream are shuffled at a time.
        bad_images: collects the images that could not be decoded.
        memory: holds the files after `in_memory` has read them.
        facts: () -> what the split is made of, by name (fingerprint.py).
        batches: batches of the user's own, which are used as they are (own.py); otherwise None.
        batch_shape: the shape of the images of such a batch.
        multi_label: whether an example may have several classes; its label is then int32 [classes] of zeros and ones.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    size: int
    encoded: bool
    bad_images: BadImages
    image_name: Callable[[int], str]
    fetch: Callable | None = None
    stream: Callable | None = None
    order: Callable | None = None
    records: Callable | None = None
    paths: Sequence[str] = ()
    labels: Callable[[], np.ndarray] | None = None
    shuffle_buffer: int = 10_000
    memory: list = dataclasses.field(default_factory=list, repr=False, compare=False)
    facts: Callable[[], dict] | None = None
    batches: tf.data.Dataset | None = None
    batch_shape: tuple[int, ...] = ()
    multi_label: bool = False


def check_split(split: str, allowed, where: str) -> None:
    """Raises ValueError for a split that is not one of `allowed`, and suggests the closest one."""
    if split not in allowed:
        raise ValueError(
            f"Unknown split of {where}; it has {', '.join(allowed) or 'none'}.{did_you_mean(split, allowed)} "
            f"Received: split={split!r}"
        )


def labels_of(source: Source) -> np.ndarray:
    """Returns the label of every example of a source with an index, without reading its images."""
    if source.labels:
        return source.labels()
    labels = tf.function(lambda: source.fetch(tf.range(source.size, dtype=tf.int64))[1])
    return labels.get_concrete_function()().numpy()  # TensorFlow prunes the graph to what the labels need.


def counts_of(source: Source) -> np.ndarray:
    """Returns how many examples of a source with an index have each class."""
    labels = labels_of(source)
    return labels.sum(axis=0) if source.multi_label else np.bincount(labels, minlength=len(source.classes))


def by_label(labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each label that occurs and the indices of its examples, both ascending.

    Raises:
        ValueError: the examples have several classes.
    """
    if labels.ndim > 1:
        raise ValueError("Images with several classes cannot be held out or drawn by class. Name a validation_split.")
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, starts[1:]), strict=True)


class Chosen(Sequence):
    """Some items of a sequence, looked up when they are asked for."""

    def __init__(self, items: Sequence, indices: np.ndarray):
        self.items, self.indices = items, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int):
        return self.items[int(self.indices[index])]


def subset(source: Source, indices: np.ndarray) -> Source:
    """Returns the images of a source with an index that stand at `indices`, in this order."""
    numbers = tf.constant(indices, tf.int64)
    return dataclasses.replace(
        source,
        size=len(indices),
        bad_images=BadImages(len(indices)),
        image_name=lambda index: source.image_name(int(indices[index])),
        fetch=lambda index: source.fetch(tf.gather(numbers, index)),
        labels=source.labels and (lambda: source.labels()[indices]),
        paths=Chosen(source.paths, indices) if source.paths else (),
        memory=[],
    )


def held_out_split(source: Source, fraction: float, seed: int) -> tuple[Source, Source]:
    """Splits a source in two: the images to train on, and a `fraction` of each class, held out.

    The images of a class whose names (class folder and file) have the lowest hashes for `seed` are held out. So other
    images, and another place of the folder, leave the split of an image as it is, up to the size of the held-out part.

    Raises:
        ValueError: the source is a stream, or too small.
    """
    if source.stream:
        raise ValueError(
            f"A fraction of {source.name} cannot be held out, because it is read as a stream; name a split as "
            f"data.validation_split, such as 'train[95%:]' of a tensorflow-datasets set. Received: {fraction}"
        )
    held_out = np.zeros(source.size, bool)
    for _, indices in by_label(labels_of(source)):
        count = min(round(fraction * len(indices)), len(indices) - 1)
        held_out[sorted(indices, key=lambda index: _hash(source.image_name(int(index)), seed))[:count]] = True
    if not held_out.any():
        raise ValueError(
            f"{source.name}/{source.split} has too few images of each class to hold out this fraction; raise it. "
            f"Received: {fraction}"
        )
    return subset(source, np.flatnonzero(~held_out)), subset(source, np.flatnonzero(held_out))


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b("/".join(Path(name).parts[-2:]).encode(), digest_size=16, key=str(seed).encode()).digest()


def in_memory(source: Source) -> Source:
    """Reads every file of `source` once, and returns a source that answers from memory (`cache: memory`).

    Files are kept encoded: a JPEG takes a tenth of the memory of its pixels. A stream becomes a source with an index,
    whose order is shuffled as a whole instead of in a buffer. Pixels that are in memory already are left alone. The
    files stay in `source.memory`, so that a second call reads nothing.

    Raises:
        OSError: a file cannot be read.
        ValueError: the files take more than half of the free memory.
    """
    if not source.encoded:
        return source
    if not source.memory:
        source.memory.append(_read_files(source))
    contents, labels = source.memory[0]
    return dataclasses.replace(
        source,
        stream=None,
        order=None,
        records=None,
        paths=(),
        fetch=lambda index: (tf.gather(contents, index), tf.gather(labels, index)),
    )


def _read_files(source: Source):
    """Returns the files, string [N], and their labels, int32 [N]."""
    if source.stream:
        records = source.stream()
    else:
        records = tf.data.Dataset.range(source.size).map(
            lambda index: (index, *source.fetch(index)), num_parallel_calls=tf.data.AUTOTUNE
        )
    contents, labels, free = [b""] * source.size, [0] * source.size, _free_memory() / 2
    try:
        for index, image, label in records.as_numpy_iterator():
            contents[index], labels[index] = image, label
            free -= len(image)
            if free < 0:
                raise ValueError(
                    f"The files of {source.name}/{source.split} take more than half of the free memory. Set data.cache "
                    "to none. Received: cache='memory'"
                )
    except tf.errors.OpError as error:
        raise OSError(f"{source.name}/{source.split} could not be read: {first_line(error)}") from error
    return tf.constant(contents), tf.constant(labels, tf.int32)


def _free_memory() -> float:
    """Returns the bytes of memory that Linux can give to a process; infinity on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")
