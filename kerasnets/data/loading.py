"""Loads one batch of records: reads, decodes and transforms its images, and handles files that cannot be decoded.

1. `load_batch` has only operations of TensorFlow, so that a dataset that calls it can be sent to another process. It
   gives each image a status, and the bytes of each file that TensorFlow could not decode.
2. `rescue` runs in the process that trains. Pillow gets those files. The files that Pillow cannot decode either are
   added to `source.bad_images`.
3. `replace_bad` puts good images of the same batch in the place of the bad ones.

Errors are caught per batch, by a nested dataset that drops the failing elements, which costs nothing measurable. A
nested dataset per image costs more than decoding a small JPEG, and checking all files first would read a large data set
twice.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasnets.data.errors import decoding_error
from kerasnets.data.images.decode import reencode
from kerasnets.data.sources.source import Source

# What became of an image. `PADDING` fills a batch that has too few records.
GOOD, PADDING, UNDECODABLE, UNREADABLE = range(4)
# Why an image is `UNREADABLE` that this process can read.
ELSEWHERE = "a worker of the data service cannot read it; every worker needs the images under the same path"


class Loaded(NamedTuple):
    """Images of `load_batch`. Where `status` is not `GOOD`, the image is black.

    Attributes:
        base: what the caller of `load_batch` gives `rescue` for the transformation, such as a seed.
        numbers: int64 [n], as in sampling.py.
        images: [n, S, S, C].
        labels: int32 [n].
        status: int32 [n].
        contents: string [n], the bytes of the files that could be read and not decoded; otherwise empty.
    """

    base: tf.Tensor
    numbers: tf.Tensor
    images: tf.Tensor
    labels: tf.Tensor
    status: tf.Tensor
    contents: tf.Tensor


def load_batch(source: Source, base, batch, transform, batch_size: int) -> Loaded:
    """Loads a batch of records, and fills it up to `batch_size`.

    Args:
        source: where the images are fetched from.
        base: handed on to `transform` and `rescue`.
        batch: numbers [n], images [n] or empty strings, labels [n]; a number is as in sampling.py.
        transform: (image, number, base) -> uint8 [S, S, C].
        batch_size: the largest n.
    """

    def load_one(position, number, image, label):
        image, label = _fetched(source, number, image, label)
        return position, transform(image, number, base), label

    loaded = _without_failures(_records(batch).map(load_one), batch_size)
    status, contents = tf.fill([batch_size], GOOD), tf.fill([batch_size], "")

    def complete():
        return Loaded(base, batch[0], *(part[:batch_size] for part in loaded[1:]), status, contents)

    def incomplete():
        return _with_status(source, base, batch, loaded, batch_size)

    found = tf.cond(tf.equal(tf.shape(loaded[0])[0], batch_size + 1), complete, incomplete)
    fixed = (tf.ensure_shape(tensor, [batch_size, *tensor.shape[1:]]) for tensor in found[1:])
    return Loaded(base, *fixed)


def rescue(source: Source, loaded: Loaded, transform, *, remote: bool = False):
    """Decodes with Pillow what TensorFlow could not decode.

    Args:
        source: gets the bad images.
        loaded: from `load_batch`.
        transform: the one that `load_batch` had.
        remote: whether `load_batch` ran in a worker of a data service.

    Returns:
        images [n, S, S, C], labels [n], good bool [n].
    """
    channels = loaded.images.shape[-1]

    def transform_one(position, png, number):
        return position, transform(png, number, loaded.base)

    def rescued():
        broken = tf.where(loaded.status >= UNDECODABLE)[:, 0]
        numbers, *facts = (tf.gather(t, broken) for t in (loaded.numbers, loaded.status, loaded.contents))
        pngs = tf.numpy_function(
            lambda *parts: _as_pngs(source, channels, remote, *parts), [numbers % source.size, *facts], tf.string
        )
        pngs = tf.ensure_shape(pngs, [None])
        records = tf.data.Dataset.from_tensor_slices((broken, pngs, numbers)).map(transform_one)
        found = _without_failures(records, tf.size(broken, tf.int64))
        places = found[0][:-1, tf.newaxis]
        images = tf.tensor_scatter_nd_update(loaded.images, places, found[1][:-1])
        good = tf.tensor_scatter_nd_update(loaded.status, places, tf.fill(tf.shape(places)[:1], GOOD))
        return images, loaded.labels, tf.equal(good, GOOD)

    def as_loaded():
        return loaded.images, loaded.labels, tf.equal(loaded.status, GOOD)

    return tf.cond(tf.reduce_any(loaded.status >= UNDECODABLE), rescued, as_loaded)


def replace_bad(source: Source, images, labels, good):
    """Replaces the bad images of a batch by its good ones, in turn; a batch without a good image stops the run."""

    def replaced():
        with tf.control_dependencies([tf.numpy_function(source.bad_images.check_batch, [good], [])]):
            positions = tf.where(good)[:, 0]
        turn = tf.cumsum(tf.cast(~good, tf.int32)) - 1
        replacement = tf.gather(positions, turn % tf.size(positions))
        chosen = tf.where(good, tf.range(tf.size(good), dtype=tf.int64), replacement)
        return tf.gather(images, chosen), tf.gather(labels, chosen)

    return tf.cond(tf.reduce_all(good), lambda: (images, labels), replaced)


def _records(batch) -> tf.data.Dataset:
    """Returns (position, number, image or empty string, label) of each record of a batch."""
    return tf.data.Dataset.from_tensor_slices((tf.range(tf.shape(batch[0])[0]), *batch))


def _fetched(source: Source, number, image, label):
    return source.fetch(number % source.size) if source.fetch else (image, label)


def _without_failures(records: tf.data.Dataset, size):
    """Batches up to `size` records without those that fail; a last one of zeros keeps the result from being empty."""
    records = records.ignore_errors()
    blank = tuple(tf.zeros(spec.shape, spec.dtype) for spec in records.element_spec)
    return records.concatenate(tf.data.Dataset.from_tensors(blank)).batch(size + 1).get_single_element()


def _with_status(source: Source, base, batch, loaded, batch_size: int) -> Loaded:
    """Returns a whole batch of which only `loaded` could be decoded; reads the other files once more."""
    count, places = tf.shape(batch[0])[0], loaded[0][:-1, tf.newaxis]
    missing = tf.where(tf.scatter_nd(places, tf.ones_like(places[:, 0]), [count]) == 0)[:, 0]

    def read_one(position, number, image, label):
        image, label = _fetched(source, number, image, label)
        return position, image if source.encoded else tf.constant(""), label

    records = (tf.cast(missing, tf.int32), *(tf.gather(tensor, missing) for tensor in batch))
    read = _without_failures(tf.data.Dataset.from_tensor_slices(records).map(read_one), batch_size)
    readable = read[0][:-1, tf.newaxis]
    status = tf.fill([count], UNREADABLE)
    for which, code in ((places, GOOD), (readable, UNDECODABLE)):
        status = tf.tensor_scatter_nd_update(status, which, tf.fill(tf.shape(which)[:1], code))
    missing = [[0, batch_size - count]]
    shape = tf.concat([[batch_size], tf.shape(loaded[1])[1:]], 0)
    labels = tf.concat([loaded[2][:-1], read[2][:-1]], 0)
    return Loaded(
        base,
        tf.pad(batch[0], missing),
        tf.scatter_nd(places, loaded[1][:-1], shape),
        tf.scatter_nd(tf.concat([places, readable], 0), labels, tf.concat([[batch_size], tf.shape(labels)[1:]], 0)),
        tf.pad(status, missing, constant_values=PADDING),
        tf.tensor_scatter_nd_update(tf.fill([batch_size], ""), readable, read[1][:-1]),
    )


def _as_pngs(source: Source, channels: int, remote: bool, indices, status, contents) -> np.ndarray:
    """Returns each image as PNG bytes. A bad one is reported, and gets no bytes, which no decoder accepts.

    Raises:
        OSError: a file could not be read.
        RuntimeError: too many images are bad.
    """
    images = zip(indices.tolist(), status.tolist(), contents.tolist(), strict=True)
    pngs = [
        b"" if _unreadable(source, index, code, remote) else _as_png(source, channels, index, data)
        for index, code, data in images
    ]
    source.bad_images.check()
    return np.array(pngs, object)


def _unreadable(source: Source, index: int, status: int, remote: bool) -> bool:
    """Whether an image could not be read; reports it."""
    if status != UNREADABLE:
        return False
    name = source.image_name(index)
    try:
        if source.paths:
            Path(source.paths[index]).read_bytes()
    except OSError as error:
        source.bad_images.unreadable(name, error.strerror or str(error))
    else:
        source.bad_images.unreadable(name, ELSEWHERE if remote else "reading it failed twice, and then did not")
    return True


def _as_png(source: Source, channels: int, index: int, contents: bytes) -> bytes:
    try:
        return reencode(contents, channels)
    except Exception as error:
        source.bad_images.add(index, source.image_name(index), decoding_error(error))
        return b""
