"""`tf.data.Dataset`s of the user's own: `train(recipe, data=(train, validation))`.

They are taken as they are: their order, their batches, their augmentation. An epoch is one pass over the dataset, or
the recipe's `steps_per_epoch`; the next epoch then goes on where the last one ended.
"""

import tensorflow as tf

from kerasnets.data.errors import BadImages
from kerasnets.data.sources.source import Source

FORM = (
    "A dataset of your own should give batches (images, labels): images [batch, height, width, channels] of 0-255, "
    "labels whole numbers [batch] or shares [batch, classes]."
)


def own_source(dataset: tf.data.Dataset, split: str, classes: int | None, steps: int | None = None) -> Source:
    """Returns a source for batches of the user's own. The first batch is read.

    Its `size` counts the last batch as a full one.

    Args:
        dataset: batches (images, labels).
        split: what it is for, in messages.
        classes: the number of classes; not needed for labels [batch, classes].
        steps: the length of an epoch, for a dataset that does not know its own.

    Raises:
        ValueError: the dataset has another form, is empty, or does not say how long it or how many classes there are.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(f"{FORM} Received: {split} data of type {type(dataset).__name__}")
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2 or spec[0].shape.rank not in (None, 4):
        raise ValueError(f"{FORM} Received: {split} data of {spec}")
    length = int(dataset.cardinality())
    if length < 0 and not steps:
        raise ValueError(
            f"The {split} data does not know its length; give it one with tf.data.experimental.assert_cardinality"
            f"{', or set steps_per_epoch in the recipe' * (split == 'training')}. Received: cardinality() < 0"
        )
    images, labels = next(iter(dataset), (None, None))
    if images is None:
        raise ValueError(f"{FORM} Received: {split} data without a batch")
    count = classes or (labels.shape[-1] if labels.shape.rank == 2 else None)
    if not count:
        raise ValueError(
            "Labels that are numbers do not say how many classes there are; set model.arguments.classes in the recipe. "
            f"Received: {split} labels of shape {labels.shape}"
        )
    if labels.shape.rank == 1 and not 0 <= int(tf.reduce_min(labels)) <= int(tf.reduce_max(labels)) < count:
        raise ValueError(f"Labels should be from 0 to {count - 1}. Received: {labels.numpy()[:8]} in {split} data")
    return Source(
        name="a dataset of your own",
        split=split,
        classes=tuple(map(str, range(count))),
        size=(length if length > 0 else steps) * int(images.shape[0]),
        encoded=False,
        bad_images=BadImages(0),
        image_name=lambda index: f"number {index}",
        stream=lambda seed=None: _examples(dataset),
        batches=dataset,
        batch_shape=tuple(images.shape),
    )


def open_own(options, split: str) -> Source:
    """Says that datasets of the user's own cannot be opened by a recipe.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "The run was trained on datasets of your own, which a recipe cannot open; give them again, as "
        f"train(data=...) or evaluate(run, source=...). Received: data.source.kind='own', split={split!r}"
    )


def _examples(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.unbatch().enumerate().map(lambda index, example: (index, *example))


def own_training_batches(source: Source, start_step: int) -> tf.data.Dataset:
    """Returns endless batches, pass after pass, from step `start_step` on.

    A run that continues in the middle of a pass skips the batches of a new pass that it has had.
    """
    length = int(source.batches.cardinality())
    done = start_step % length if length > 0 else start_step
    return source.batches.repeat().skip(done).map(_numbered, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def own_evaluation_batches(source: Source) -> tf.data.Dataset:
    """Returns one pass as (images, labels int32 [B], weights float32 [B]), the last batch padded with weight 0."""
    size = source.batch_shape[0]

    def padded(images, labels):
        images, labels = _numbered(images, labels)
        labels = tf.argmax(labels, -1, tf.int32) if labels.shape.rank == 2 else labels
        there = tf.shape(images)[0]
        missing = size - there
        images = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
        weights = tf.pad(tf.ones([there]), [[0, missing]])
        labels = tf.pad(labels, [[0, missing]])
        return tuple(tf.ensure_shape(t, [size, *t.shape[1:]]) for t in (images, labels, weights))

    batches = source.batches.map(padded, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.apply(tf.data.experimental.assert_cardinality(source.size // size)).prefetch(2)


def _numbered(images, labels):
    """Returns labels as int32 numbers or float32 shares."""
    return images, tf.cast(labels, tf.int32 if labels.shape.rank == 1 else tf.float32)
