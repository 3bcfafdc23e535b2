"""From a source to batches. The result depends only on (seed, epoch, index), never on threads or restarts.

Training, in this order:

1. Order of the epoch (sampling.py): a stateless shuffle of all indices by (seed, epoch), or the classes equally often.
   A stream is shuffled in a buffer by the same seed, and its shards may come in another order each epoch. With
   `cache: memory` all files are in memory, and a stream has an index too.
2. Batches of indices. The rest that fills no batch is dropped; it is another one each epoch. A resumed run starts here,
   in the middle of an epoch, and does not read what it skips.
3. Loading (loading.py), several batches at a time: read, decode and augment each image (images/per_image.py), seeded by
   (seed, epoch, index). A batch of more than `LARGE` images is loaded by chunks of `CHUNK`, several at a time, and then
   joined: one thread would take seconds for it, and each core would hold a batch in memory. Joining copies the pixels
   once more, so smaller batches are one chunk.
4. Images that TensorFlow cannot decode (loading.py): Pillow tries them. Good images of the same batch replace those
   that Pillow cannot decode either, and `source.bad_images` names them. Batches stay full and epochs keep their length.
   A file that cannot be read, and a batch without a good image, stop the run.
5. Augmentation of the batch (images/per_batch.py), seeded by (seed, epoch, batch number). MixUp and CutMix are only
   drawn here; the training step mixes.
6. Prefetching.

Op determinism, TensorFlow's switch for the whole process, does not slow a pipeline down (`parallel`).
`disable_op_determinism` and `is_op_determinism_enabled` are private; checked with TensorFlow 2.21. A test in
tests/data/test_determinism.py fails when they, or the pass that `parallel` avoids, change.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config

from kerasnets.data.images.per_batch import batch_operations
from kerasnets.data.images.per_image import evaluation_transform, fold_in, override, training_transform
from kerasnets.data.loading import load_batch, replace_bad
from kerasnets.data.sampling import make_sampler
from kerasnets.data.sources.own import own_evaluation_batches, own_training_batches
from kerasnets.data.sources.source import Source, in_memory
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

WHOLE = slice(None)
# The largest batch that one thread loads as a whole, and the number of images that it loads of a larger one.
LARGE, CHUNK = 256, 64


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Returns how many full batches an epoch has.

    Raises:
        ValueError: the source is smaller than one batch.
    """
    if not 1 <= batch_size <= source.size:
        raise ValueError(
            f"`batch_size` must be between 1 and the {source.size} examples of {source.name}/{source.split}. "
            f"Received: batch_size={batch_size}"
        )
    return source.size // batch_size


def training_batches(
    source: Source,
    preprocessing: Preprocessing,
    options: DataOptions,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    share: slice = WHOLE,
) -> tf.data.Dataset:
    """Returns endless training batches, from step `start_step` on as an uninterrupted run has them.

    Args:
        source: from `open_source`.
        preprocessing: of the network; `options` may override its size, crop fraction and interpolation.
        options: augmentation, caching and the allowed share of bad images.
        batch_size: the global batch.
        seed: decides order and pixels.
        start_step: the number of steps already taken; the epoch is `start_step // steps_per_epoch`.
        share: the examples of each batch that this worker needs, when several workers share a job. Only they are read
            and decoded.

    Returns:
        A dataset of (images, labels): uint8 [B, S, S, C], values 0-255, RGB or grey; int32 [B]. With `mixup` or
        `cutmix` there is a third part, the draws that `per_batch.mix` mixes by inside the step.
    """
    if source.batches is not None:
        return parallel(own_training_batches(source, start_step))
    steps = steps_per_epoch(source, batch_size)
    source = _cached(source, options)
    augmentation = options.augmentation
    transform = training_transform(override(preprocessing, options), augmentation)
    source.bad_images.limit = options.bad_image_limit
    draw = make_sampler(source, options, batch_size)
    first_epoch, first_batch = divmod(start_step, steps)
    augment_batch = batch_operations(augmentation, batch_size, share)
    size = len(range(batch_size)[share])

    def epoch_batches(epoch):
        skipped = tf.where(tf.equal(epoch, first_epoch), first_batch, 0) * batch_size
        records = draw(_seed(seed, 0, epoch), tf.cast(skipped, tf.int64), steps * batch_size)
        batches = records.batch(batch_size, drop_remainder=True)
        return batches.map(lambda *batch: (_seed(seed, 1, epoch), tuple(tensor[share] for tensor in batch)))

    def complete(number, batch):
        images, labels = (_of_length(size, tensor) for tensor in replace_bad(source, *batch))
        return augment_batch(images, labels, fold_in(_seed(seed, 2, number // steps), number % steps))

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    records = epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch_batches))
    batches = _loaded(source, records, lambda image, index, base: transform(image, fold_in(base, index)), size)
    numbers = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    return parallel(tf.data.Dataset.zip(numbers, batches).map(complete).prefetch(2))


def batch_names(source: Source, options: DataOptions, batch_size: int, seed: int, step: int) -> list[str]:
    """Returns the names of the images in the batch of step `step` (from 0) of `training_batches`; no image is read."""
    epoch, number = divmod(step, steps_per_epoch(source, batch_size))
    if source.batches is not None:
        return [f"batch {number + 1} of {source.name}"]
    first = tf.constant(number * batch_size, tf.int64)
    cached = _cached(source, options)
    if cached.stream:
        cached = dataclasses.replace(cached, stream=lambda seed=None: source.order(seed).map(_index_only))
    draw = make_sampler(cached, options, batch_size)
    records = draw(_seed(seed, 0, tf.constant(epoch, tf.int64)), first, (number + 1) * batch_size)
    return [source.image_name(int(drawn) % source.size) for drawn, *_ in records]


def evaluation_batches(
    source: Source,
    preprocessing: Preprocessing,
    options: DataOptions,
    *,
    batch_size: int,
    share: slice = WHOLE,
    transform: Callable | None = None,
) -> tf.data.Dataset:
    """Returns every example exactly once, in the order of the source.

    Args:
        source, preprocessing, options, batch_size: as for `training_batches`.
        share: the examples of each batch that this worker needs.
        transform: image -> tensor, in place of the evaluation crop.

    Returns:
        A finite dataset of (images uint8 [B, S, S, C] 0-255, labels int32 [B], weights float32 [B]), all batches of the
        same shape. The weight is 0 for the padding of the last batch and for images that could not be decoded.
    """
    if source.batches is not None:
        return parallel(own_evaluation_batches(source))
    transform = transform or evaluation_transform(override(preprocessing, options))
    source = _cached(source, options)
    source.bad_images.limit = options.bad_image_limit
    size = len(range(batch_size)[share])

    records = _in_order(source).batch(batch_size).map(lambda *batch: (0, tuple(tensor[share] for tensor in batch)))
    batches = _loaded(source, records, lambda image, index, base: transform(image), size)
    batches = batches.map(lambda images, labels, good: (images, labels, tf.cast(good, tf.float32))).prefetch(2)
    return parallel(batches.apply(tf.data.experimental.assert_cardinality(-(-source.size // batch_size))))


@contextlib.contextmanager
def op_determinism(on: bool):
    """Switches op determinism on or off inside the context, and restores the former state after it."""
    before = config.is_op_determinism_enabled()
    _switch_op_determinism(on)
    try:
        yield
    finally:
        _switch_op_determinism(before)


def parallel(dataset):
    """Returns `dataset`, plain or distributed, changed so that it stays parallel under op determinism.

    While op determinism is on, TensorFlow's pass `make_deterministic` removes all parallel maps and prefetches from a
    pipeline that has a `PyFunc` or nested datasets. Ours has both, but its order and pixels never depend on threads.
    The pass runs when an iterator is created, so every iterator of this dataset is created with the switch off.
    Datasets that are derived from it are not protected: call `parallel` on them.
    """
    kind = type(dataset)

    class Parallel(kind):
        def __iter__(self):
            with op_determinism(False):
                return super().__iter__()

    Parallel.__name__ = kind.__name__
    dataset.__class__ = Parallel
    return dataset


def _switch_op_determinism(on: bool) -> None:
    (config.enable_op_determinism if on else config.disable_op_determinism)()


def _seed(seed: int, purpose: int, epoch):
    """Returns the int64 [2] seed of one purpose (0 order, 1 images, 2 batches) in one epoch."""
    return fold_in(fold_in(tf.constant([seed, 0], tf.int64), purpose), epoch)


def _cached(source: Source, options: DataOptions) -> Source:
    return in_memory(source) if options.cache == "memory" else source


def _in_order(source: Source) -> tf.data.Dataset:
    """Returns the records (index, image or empty, label or 0) of a source in its own order."""
    if source.stream:
        return source.stream()
    return tf.data.Dataset.range(source.size).map(_index_only)


def _index_only(index):
    return index, tf.constant(b""), tf.constant(0)


def _loaded(source: Source, batches: tf.data.Dataset, transform, size: int) -> tf.data.Dataset:
    """Loads batches of records, in parallel and in their order.

    Args:
        source: where the images are fetched from.
        batches: (base, (numbers [n], images [n] or empty strings, labels [n])), n <= `size`.
        transform: (image, number, base) -> uint8 [S, S, C].
        size: of every batch of the result.

    Returns:
        A dataset of (images uint8 [size, S, S, C], labels int32 [size], good bool [size]). Images behind the n-th, and
        those that could not be decoded, are black and not good.
    """
    count = -(-size // CHUNK) if size > LARGE else 1
    length = -(-size // count)

    def split(base, batch):
        chunks = tf.data.Dataset.range(0, count * length, length)
        return chunks.map(lambda first: (base, tuple(tensor[first : first + length] for tensor in batch)))

    def load(base, chunk):
        images, labels, good = load_batch(source, chunk, lambda image, index: transform(image, index, base), length)
        missing = length - tf.shape(good)[0]

        def padded():
            blank = tf.zeros([missing, *images.shape[1:]], images.dtype)
            return tf.concat([images, blank], 0), *(tf.pad(tensor, [[0, missing]]) for tensor in (labels, good))

        full = tf.cond(tf.equal(missing, 0), lambda: (images, labels, good), padded)
        return tuple(_of_length(length, tensor) for tensor in full)

    def join(*chunks):
        return tuple(tf.reshape(tensor, [count * length, *tensor.shape[2:]])[:size] for tensor in chunks)

    if count == 1:
        return _map_and_prefetch(batches, load)
    return _map_and_prefetch(batches.flat_map(split), load).batch(count).map(join)


def _map_and_prefetch(batches: tf.data.Dataset, load) -> tf.data.Dataset:
    load = tf.autograph.experimental.do_not_convert(load)  # It has no Python conditions on tensors.
    return batches.map(load, num_parallel_calls=os.cpu_count(), deterministic=True).prefetch(2)


def _of_length(batch_size: int, tensor):
    """Sets the first dimension of `tensor` to `batch_size` in the graph."""
    return tf.ensure_shape(tensor, [batch_size, *tensor.shape[1:]])
