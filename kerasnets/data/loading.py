"""Loads one batch of records: reads, decodes and transforms its images, and handles files that cannot be decoded.

Pillow gets the files that TensorFlow cannot decode. The files that Pillow cannot decode either are added to
`source.bad_images`.

Errors are caught per batch, by a nested dataset that drops the failing elements, which costs nothing measurable. A
nested dataset per image costs more than decoding a small JPEG, and checking all files first would read a large data set
twice.
"""

from pathlib import Path

import tensorflow as tf

from kerasnets.data.errors import decoding_error
from kerasnets.data.images.decode import reencode
from kerasnets.data.sources.source import Source


def load_batch(source: Source, batch, transform, batch_size: int):
    """Loads a batch of records.

    Args:
        source: where the images are fetched from.
        batch: numbers [n], images [n] or empty strings, labels [n]; a number is as in sampling.py.
        transform: (image, number) -> uint8 [S, S, C].
        batch_size: the largest n.

    Returns:
        images uint8 [n, S, S, C], labels int32 [n], good bool [n]. Where `good` is False, the image is black and the
        label is 0.
    """
    numbers, contents, labels = batch
    count = tf.shape(numbers)[0]

    def load_one(position, number, image, label):
        if source.fetch:
            image, label = source.fetch(number % source.size)
        return position, transform(image, number), label

    records = tf.data.Dataset.from_tensor_slices((tf.range(count), numbers, contents, labels))
    loaded = _load_without_failures(records, load_one, batch_size)

    def complete():
        return loaded[1][:count], loaded[2][:count], tf.fill([count], True)

    def incomplete():
        return _retry_with_pillow(source, batch, loaded, transform, batch_size)

    return tf.cond(tf.equal(tf.shape(loaded[0])[0], count + 1), complete, incomplete)


def _load_without_failures(records: tf.data.Dataset, load_one, batch_size: int):
    """Loads records one by one and drops those that fail; a last record of zeros keeps the result from being empty."""
    loaded = records.map(load_one).ignore_errors()
    blank = tuple(tf.zeros(spec.shape, spec.dtype) for spec in loaded.element_spec)
    return loaded.concatenate(tf.data.Dataset.from_tensors(blank)).batch(batch_size + 1).get_single_element()


def _retry_with_pillow(source: Source, batch, loaded, transform, batch_size: int):
    """Decodes the images that are missing in `loaded` with Pillow, and returns the whole batch in its order."""
    numbers, contents, labels = batch
    count = tf.shape(numbers)[0]
    found = tf.scatter_nd(loaded[0][:-1, tf.newaxis], tf.ones_like(loaded[0][:-1]), [count])
    missing = tf.where(tf.equal(found, 0))[:, 0]
    channels = loaded[1].shape[-1]

    def load_one(position, number, image, label):
        if source.fetch:
            fetched, label = source.fetch(number % source.size)
            image = fetched if source.encoded and not source.paths else image
        png = tf.numpy_function(
            lambda index, contents: _as_png(source, index, contents, channels),
            [number % source.size, image],
            tf.string,
        )
        return position, transform(tf.ensure_shape(png, []), number), label

    records = (tf.cast(missing, tf.int32), *(tf.gather(t, missing) for t in (numbers, contents, labels)))
    retried = _load_without_failures(tf.data.Dataset.from_tensor_slices(records), load_one, batch_size)
    # The check stands outside the dataset that drops errors, because too many bad images must stop the run.
    with tf.control_dependencies([retried[0]]):
        checked = tf.numpy_function(source.bad_images.check, [], [])
    positions = tf.concat([loaded[0][:-1], retried[0][:-1]], 0)[:, tf.newaxis]
    images = tf.concat([loaded[1][:-1], retried[1][:-1]], 0)
    labels = tf.concat([loaded[2][:-1], retried[2][:-1]], 0)
    shape = tf.concat([[count], tf.shape(images)[1:]], 0)
    with tf.control_dependencies([checked]):
        good = tf.scatter_nd(positions, tf.ones_like(labels), [count])
    return tf.scatter_nd(positions, images, shape), tf.scatter_nd(positions, labels, [count]), tf.cast(good, tf.bool)


def _as_png(source: Source, index: int, contents: bytes, channels: int) -> bytes:
    """Returns the image as PNG bytes; or reports why it is bad and returns no bytes, which no decoder accepts."""
    try:
        contents = Path(source.paths[index]).read_bytes() if source.paths else contents
    except OSError as error:
        source.bad_images.unreadable(source.image_name(index), error)
        return b""
    try:
        return reencode(contents, channels)
    except Exception as error:
        source.bad_images.add(index, source.image_name(index), decoding_error(error))
        return b""


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
