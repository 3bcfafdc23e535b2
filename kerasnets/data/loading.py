"""One batch of records -> pixels and labels, whatever their files hold.

A file that TensorFlow cannot decode is given to Pillow; what it refuses too is noted in `source.bad_images`.

Why errors are caught per batch: a nested dataset per batch that drops failing elements costs nothing measurable; one
per image costs more than decoding a small JPEG, and checking all files first would read a large data set twice.
"""

from pathlib import Path

import tensorflow as tf

from kerasnets.data.images.decode import reencode
from kerasnets.data.sources import Source


def load_batch(source: Source, batch, transform, batch_size: int):
    """Loads a batch of records; `transform` takes (image, number), and a number is as in sampling.py.

    Returns:
        images uint8 [n, S, S, C], labels int32 [n], good bool [n]; where not good, the image is black and the label 0.
    """
    indices, contents, labels = batch
    count = tf.shape(indices)[0]

    def load_one(position, index, image, label):
        if source.fetch:
            image, label = source.fetch(index % source.size)
        return position, transform(image, index), label

    positions = tf.range(count)
    loaded = _surviving(
        tf.data.Dataset.from_tensor_slices((positions, indices, contents, labels)), load_one, batch_size
    )

    def complete():
        return loaded[1][:count], loaded[2][:count], tf.fill([count], True)

    def incomplete():
        return _second_try(source, batch, loaded, transform, batch_size)

    return tf.cond(tf.equal(tf.shape(loaded[0])[0], count + 1), complete, incomplete)


def _surviving(records: tf.data.Dataset, load_one, batch_size: int):
    """Loads records one after another, drops those that fail; a last row of zeros keeps the result from being empty."""
    loaded = records.map(load_one).ignore_errors()
    blank = tuple(tf.zeros(spec.shape, spec.dtype) for spec in loaded.element_spec)
    return loaded.concatenate(tf.data.Dataset.from_tensors(blank)).batch(batch_size + 1).get_single_element()


def _second_try(source: Source, batch, loaded, transform, batch_size: int):
    """Asks Pillow for the images that are missing from `loaded`, and puts everything at its place."""
    indices, contents, labels = batch
    count = tf.shape(indices)[0]
    found = tf.scatter_nd(loaded[0][:-1, tf.newaxis], tf.ones_like(loaded[0][:-1]), [count])
    missing = tf.where(tf.equal(found, 0))[:, 0]
    channels = loaded[1].shape[-1]

    def load_one(position, index, image, label):
        if source.fetch:
            fetched, label = source.fetch(index % source.size)
            image = fetched if source.encoded and not source.paths else image
        rescued = tf.numpy_function(
            lambda i, c: _rescue(source, i, c, channels), [index % source.size, image], tf.string
        )
        return position, transform(tf.ensure_shape(rescued, []), index), label

    rows = (tf.cast(missing, tf.int32), *(tf.gather(t, missing) for t in (indices, contents, labels)))
    rescued = _surviving(tf.data.Dataset.from_tensor_slices(rows), load_one, batch_size)
    # Outside the dataset that drops errors: too many bad images must stop the run.
    with tf.control_dependencies([rescued[0]]):
        checked = tf.numpy_function(source.bad_images.check, [], [])
    places = tf.concat([loaded[0][:-1], rescued[0][:-1]], 0)[:, tf.newaxis]
    images = tf.concat([loaded[1][:-1], rescued[1][:-1]], 0)
    labels = tf.concat([loaded[2][:-1], rescued[2][:-1]], 0)
    shape = tf.concat([[count], tf.shape(images)[1:]], 0)
    with tf.control_dependencies([checked]):
        good = tf.scatter_nd(places, tf.ones_like(labels), [count])
    return tf.scatter_nd(places, images, shape), tf.scatter_nd(places, labels, [count]), tf.cast(good, tf.bool)


def _rescue(source: Source, index: int, contents: bytes, channels: int) -> bytes:
    """Returns the image as PNG bytes, or no bytes (which no decoder takes) after noting what is wrong with it."""
    try:
        contents = Path(source.paths[index]).read_bytes() if source.paths else contents
    except OSError as error:
        source.bad_images.unreadable(source.image_name(index), error)
        return b""
    try:
        return reencode(contents, channels)
    except Exception as error:
        source.bad_images.add(index, source.image_name(index), reason(error))
        return b""


def reason(error: Exception) -> str:
    """One short line for the log."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image in a known format"
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def replace_bad(source: Source, images, labels, good):
    """Puts good images of the batch, in turn, where bad ones were; a batch without a good one stops the run."""

    def replaced():
        with tf.control_dependencies([tf.numpy_function(source.bad_images.check_batch, [good], [])]):
            rows = tf.where(good)[:, 0]
        turn = tf.cumsum(tf.cast(~good, tf.int32)) - 1
        chosen = tf.where(good, tf.range(tf.size(good), dtype=tf.int64), tf.gather(rows, turn % tf.size(rows)))
        return tf.gather(images, chosen), tf.gather(labels, chosen)

    return tf.cond(tf.reduce_all(good), lambda: (images, labels), replaced)
