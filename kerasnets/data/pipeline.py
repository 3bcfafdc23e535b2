"""From a source to batches. The result depends only on (seed, epoch, index), never on threads or restarts.

Training, in this order:

1. Order of the epoch (sampling.py): a stateless shuffle of all indices by (seed, epoch), or the classes equally often.
   A stream is shuffled in a buffer by the same seed, and its shards may come in another order each epoch. With
   `cache: memory` all files are in memory, and a stream has an index too.
2. Batches of indices. The rest that fills no batch is dropped; it is another one each epoch. A resumed run starts here,
   in the middle of an epoch, and does not read what it skips.
3. Loading (loading.py), several batches at a time: read, decode and augment each image (images/per_image.py), seeded by
   (seed, epoch, index). What one device gets of a batch is loaded on its own (chunks.py, reading.py). If that is more
   than `reading.LARGE` images, it is loaded in chunks of `CHUNK`, several at a time, and then joined: one thread would
   take seconds for it, and each core would hold a batch in memory. Joining copies the pixels once more, so fewer images
   are one chunk. With `data.service`, workers on other machines load the chunks (service.py).
4. Images that TensorFlow cannot decode (loading.py): Pillow tries them, in the process that trains. Good images of the
   same batch, or of the same device's part of it, replace those that Pillow cannot decode either, and
   `source.bad_images` names them. Batches stay full and epochs keep their length. A file that cannot be read, and a
   batch without a good image, stop the run.
5. Augmentation of the batch (images/per_batch.py), seeded by (seed, epoch, batch number). MixUp and CutMix are only
   drawn here; the training step mixes.
6. Prefetching.

Op determinism, TensorFlow's switch for the whole process, does not slow a pipeline down (`parallel`).
`disable_op_determinism` and `is_op_determinism_enabled` are private; checked with TensorFlow 2.21. A test in
tests/data/test_determinism.py fails when they, or the pass that `parallel` avoids, change.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config

from kerasnets.data.chunks import Cut, chunks_of, joined
from kerasnets.data.images.per_batch import batch_operations
from kerasnets.data.images.per_image import evaluation_transform, fold_in, for_training, override, training_transform
from kerasnets.data.loading import replace_bad
from kerasnets.data.reading import Plan, cut_share, load_numbered, load_records
from kerasnets.data.sampling import epoch_order, make_sampler
from kerasnets.data.sources.own import own_evaluation_batches, own_training_batches
from kerasnets.data.sources.records import with_index
from kerasnets.data.sources.source import Source, in_memory
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

WHOLE = slice(None)


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
    parts: int = 1,
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
        parts: how many devices the share is divided among. Each element of the result is the part of one device, in
            turn. The batches of `own` data are not divided.

    Returns:
        A dataset of (images, labels): uint8 [B, S, S, C], values 0-255, RGB or grey; int32 [B]. With `mixup` or
        `cutmix` there is a third part, the draws that `per_batch.mix` mixes by inside the step.
    """
    if source.batches is not None:
        return parallel(own_training_batches(source, start_step))
    steps = steps_per_epoch(source, batch_size)
    source = _cached(source, options)
    augmentation = options.augmentation
    transform = training_transform(for_training(preprocessing, options), augmentation)
    source.bad_images.limit = options.bad_image_limit
    first, size = share.indices(batch_size)[0], len(range(batch_size)[share])
    even = parts if size % parts == 0 else 1
    cut = cut_share(batch_size, share, even, options.service)
    augment_batch = batch_operations(augmentation, batch_size)

    def complete(number, batch):
        images, labels = (_of_length(cut.part, tensor) for tensor in replace_bad(source, *batch))
        step, start = number // even, first + number % even * cut.part
        draws = fold_in(_seed(seed, 2, step // steps), step % steps)
        return augment_batch(images, labels, draws, slice(start, start + cut.part))

    def transform_one(image, number, base):
        return transform(image, fold_in(base, number))

    def seeded(epoch, chunk):
        return _seed(seed, 1, epoch), chunk

    # Records that other workers train on, or that a resumed run has had, are not read.
    if options.service or source.records and (start_step % steps or size < batch_size):
        source = with_index(source)
    if source.stream:
        records = _streamed_epochs(source, options, cut, steps, seed, start_step)
        loaded = load_records(source, cut, records.map(seeded), transform_one)
    else:
        order, chunks = epoch_order(source, options, batch_size), (start_step * len(cut.starts), np.iinfo(np.int64).max)
        plan = Plan(cut, lambda epoch: order(_seed(seed, 0, epoch), steps * batch_size), steps, seeded, chunks)
        loaded = load_numbered(source, plan, transform_one, options.service)
    numbers = tf.data.Dataset.range(start_step * even, np.iinfo(np.int64).max)
    batches = tf.data.Dataset.zip(numbers, joined(cut, loaded)).map(complete)
    return parallel((batches if even == parts else _divided(batches, size, parts)).prefetch(2))


def batch_names(source: Source, options: DataOptions, batch_size: int, seed: int, step: int) -> list[str]:
    """Returns the names of the images in the batch of step `step` (from 0) of `training_batches`; no image is read."""
    epoch, number = divmod(step, steps_per_epoch(source, batch_size))
    if source.batches is not None:
        return [f"batch {number + 1} of {source.name}"]
    order = epoch_order(_cached(source, options), options, batch_size)
    drawn = order(_seed(seed, 0, tf.constant(epoch, tf.int64)), (number + 1) * batch_size)[number * batch_size :]
    return [source.image_name(int(index)) for index in drawn.numpy() % source.size]


def evaluation_batches(
    source: Source,
    preprocessing: Preprocessing,
    options: DataOptions,
    *,
    batch_size: int,
    share: slice = WHOLE,
    parts: int = 1,
    transform: Callable | None = None,
    service: str | None = None,
) -> tf.data.Dataset:
    """Returns every example exactly once, in the order of the source.

    Args:
        source, preprocessing, options, batch_size: as for `training_batches`.
        share: the examples of each batch that this worker needs.
        parts: how many devices the share is divided among, as for `training_batches`.
        transform: image -> tensor, in place of the evaluation crop.
        service: the address of a data service that loads the images (service.py).

    Returns:
        A finite dataset of (images uint8 [B, S, S, C] 0-255, labels int32 [B], weights float32 [B]), all batches of the
        same shape. The weight is 0 for the padding of the last batch and for images that could not be decoded.
    """
    if source.batches is not None:
        return parallel(own_evaluation_batches(source))
    transform = transform or evaluation_transform(override(preprocessing, options))
    source = _cached(source, options)
    source.bad_images.limit = options.bad_image_limit
    steps, size = -(-source.size // batch_size), len(range(batch_size)[share])
    cut = cut_share(batch_size, share, parts if size % parts == 0 else 1, service)

    def transform_one(image, number, epoch):
        return transform(image)

    if service or source.records and size < batch_size:
        source = with_index(source)
    if source.stream:
        batches = source.stream().batch(batch_size)
        records = batches.flat_map(lambda *batch: chunks_of(cut, tf.constant(0, tf.int64), batch))
        loaded = load_records(source, cut, records, transform_one)
    else:
        order, chunks = tf.range(source.size, dtype=tf.int64), (0, steps * len(cut.starts))
        plan = Plan(cut, lambda epoch: order, steps, lambda epoch, chunk: (epoch, chunk), chunks)
        loaded = load_numbered(source, plan, transform_one, service)
    batches = joined(cut, loaded).map(lambda images, labels, good: (images, labels, tf.cast(good, tf.float32)))
    batches = batches.apply(tf.data.experimental.assert_cardinality(steps * size // cut.part))
    return parallel((batches if size % parts == 0 else _divided(batches, size, parts)).prefetch(2))


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


def _streamed_epochs(source: Source, options: DataOptions, cut: Cut, steps: int, seed: int, start_step: int):
    """Returns the records of a stream in chunks, as (epoch, records), epoch after epoch from `start_step` on."""
    draw = make_sampler(source, options, cut.batch_size)
    first_epoch, first_batch = divmod(start_step, steps)

    def epoch_chunks(epoch):
        skipped = tf.where(tf.equal(epoch, first_epoch), first_batch, 0) * cut.batch_size
        records = draw(_seed(seed, 0, epoch), tf.cast(skipped, tf.int64), steps * cut.batch_size)
        return records.batch(cut.batch_size, drop_remainder=True).flat_map(lambda *batch: chunks_of(cut, epoch, batch))

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch_chunks))


def _divided(batches: tf.data.Dataset, size: int, parts: int) -> tf.data.Dataset:
    """Divides batches of `size` into parts that differ by at most one example; the first ones are the larger ones."""
    if parts == 1:
        return batches
    return batches.rebatch([size // parts + (part < size % parts) for part in range(parts)])


def _of_length(batch_size: int, tensor):
    """Sets the first dimension of `tensor` to `batch_size` in the graph."""
    return tf.ensure_shape(tensor, [batch_size, *tensor.shape[1:]])
