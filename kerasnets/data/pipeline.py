"""From a source to batches: what comes out depends only on (seed, epoch, index), never on threads or restarts.

The order of things in training:

1. the epoch's order (sampling.py): a stateless shuffle of all indices by (seed, epoch), or all classes equally often; a
   stream, whose shards may come in another order each epoch, is shuffled in a buffer by the same seed; `cache: memory`
   keeps all files and makes an index of it;
2. cut into batches of indices, the tail that fills no batch dropped (another one each epoch); a resumed run starts
   here, in the middle of an epoch, without reading what it skips;
3. per batch, several at a time: read, decode, augment each image (transforms.py), seeded by (seed, epoch, index);
4. images that cannot be decoded are replaced: first Pillow is asked, and what it refuses too is noted in
   `source.bad_images`; its place is taken by good images of the same batch, so batches stay full and epochs keep their
   length; a file that cannot be read, and a batch without a good image, stop the run;
5. batch augmentation (batch_augmentation.py), seeded by (seed, epoch, batch number);
6. prefetch.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.cache import in_memory
from kerasnets.data.determinism import parallel
from kerasnets.data.images.decode import decode_image, reencode
from kerasnets.data.images.per_batch import batch_steps
from kerasnets.data.images.per_image import evaluation_transform, fold_in, training_transform
from kerasnets.data.loading import load_batch, reason, replace_bad
from kerasnets.data.preprocess import override
from kerasnets.data.sampling import make_sampler
from kerasnets.data.sources import Source
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

__all__ = ["batch_names", "decode_image", "evaluation_batches", "load_image", "steps_per_epoch", "training_batches"]

WHOLE = slice(None)


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Returns how many full batches an epoch has.

    Raises:
        ValueError: when the source is smaller than one batch.
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
    """Returns endless training batches; step `start_step` comes first and is the one an uninterrupted run has there.

    Args:
        source: from `open_source`.
        preprocessing: the network's; `options` may override its size, crop fraction and interpolation.
        options: augmentation, caching and the share of bad images that is allowed.
        batch_size: the global batch.
        seed: decides order and pixels.
        start_step: how many steps have been taken already; the epoch is `start_step // steps_per_epoch`.
        share: which examples of each batch are wanted, of several workers' of one job. Only they are read and decoded,
            unless the augmentation mixes a batch.

    Returns:
        A dataset of (images, labels): uint8 [B, S, S, C] (float32 with `mixup`), values 0-255, RGB or grey; int32 [B],
        or float32 [B, classes] with `mixup` or `cutmix`.
    """
    steps = steps_per_epoch(source, batch_size)
    source = _kept(source, options)
    augmentation = options.augmentation
    transform = training_transform(override(preprocessing, options), augmentation)
    finish = batch_steps(augmentation, len(source.classes))
    source.bad_images.set_limit(options.bad_image_limit)
    draw = make_sampler(source, options, batch_size)
    first_epoch, first_batch = divmod(start_step, steps)
    mixed = augmentation.mixup or augmentation.cutmix or augmentation.random_cutout
    before, after = (WHOLE, share) if mixed else (share, WHOLE)
    size = len(range(batch_size)[before])

    def epoch_batches(epoch):
        skipped = tf.where(tf.equal(epoch, first_epoch), first_batch, 0) * batch_size
        records = draw(_seed(seed, 0, epoch), tf.cast(skipped, tf.int64), steps * batch_size)
        numbers = tf.data.Dataset.range(steps).skip(tf.cast(skipped // batch_size, tf.int64))
        batches = tf.data.Dataset.zip(numbers, records.batch(batch_size, drop_remainder=True))
        return batches.map(lambda number, batch: (epoch, number, batch))

    def load(epoch, number, batch):
        base = _seed(seed, 1, epoch)
        batch = tuple(part[before] for part in batch)
        images, labels, good = load_batch(
            source, batch, lambda image, index: transform(image, fold_in(base, index)), size
        )
        images, labels = (_of_length(size, tensor) for tensor in replace_bad(source, images, labels, good))
        return tuple(part[after] for part in finish(images, labels, fold_in(_seed(seed, 2, epoch), number)))

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return parallel(_loaded(epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch_batches)), load))


def batch_names(source: Source, options: DataOptions, batch_size: int, seed: int, step: int) -> list[str]:
    """Returns the names of the images that `training_batches` gives in step `step`, counted from 0.

    No image is read for it.
    """
    epoch, number = divmod(step, steps_per_epoch(source, batch_size))
    first = tf.constant(number * batch_size, tf.int64)
    kept = _kept(source, options)
    if kept.stream:
        kept = dataclasses.replace(kept, stream=lambda seed=None: source.order(seed).map(_index_only))
    draw = make_sampler(kept, options, batch_size)
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
    """Returns every example exactly once, in the source's order; or of each batch the `share` that is wanted.

    What a `transform` (image -> tensor) makes of an image takes the place of the evaluation crop.

    Returns:
        A finite dataset of (images uint8 [B, S, S, C] 0-255, labels int32 [B], weights float32 [B]), all of the same
        shape. Weight 0 marks the padding of the last batch and images that could not be decoded.
    """
    transform = transform or evaluation_transform(override(preprocessing, options))
    source = _kept(source, options)
    source.bad_images.set_limit(options.bad_image_limit)
    size = len(range(batch_size)[share])

    def load(*batch):
        batch = tuple(part[share] for part in batch)
        images, labels, good = load_batch(source, batch, lambda image, index: transform(image), size)
        missing = size - tf.shape(good)[0]
        images = tf.concat([images, tf.zeros([missing, *images.shape[1:]], images.dtype)], 0)
        labels, weights = tf.pad(labels, [[0, missing]]), tf.pad(tf.cast(good, tf.float32), [[0, missing]])
        return tuple(_of_length(size, tensor) for tensor in (images, labels, weights))

    batches = _in_order(source).batch(batch_size)
    loaded = _loaded(batches, load)
    return parallel(loaded.apply(tf.data.experimental.assert_cardinality(-(-source.size // batch_size))))


def load_image(path: str | os.PathLike, preprocessing: Preprocessing):
    """Reads one image file as evaluation does.

    Returns:
        float32 tensor [S, S, C], pixels 0-255, RGB or grey; `normalise` makes network input of it.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no such image file. Received: {str(path)!r}")
    # Without the graph around it, which would be traced anew for every file.
    transform = evaluation_transform(preprocessing).python_function
    contents = path.read_bytes()
    try:
        image = transform(tf.constant(contents))
    except tf.errors.OpError:
        try:
            image = transform(tf.constant(reencode(contents, len(preprocessing.mean))))
        except Exception as error:
            raise ValueError(f"{path} cannot be decoded as an image: {reason(error)}") from None
    return tf.cast(image, tf.float32)


def _seed(seed: int, purpose: int, epoch):
    """Returns the int64 [2] seed of one purpose (0 order, 1 images, 2 batches) in one epoch."""
    return fold_in(fold_in(tf.constant([seed, 0], tf.int64), purpose), epoch)


def _kept(source: Source, options: DataOptions) -> Source:
    return in_memory(source) if options.cache == "memory" else source


def _in_order(source: Source) -> tf.data.Dataset:
    """Returns the source's records (index, image or empty, label or 0), in its own order."""
    if source.stream:
        return source.stream()
    return tf.data.Dataset.range(source.size).map(_index_only)


def _index_only(index):
    return index, tf.constant(b""), tf.constant(0)


def _loaded(batches: tf.data.Dataset, load) -> tf.data.Dataset:
    load = tf.autograph.experimental.do_not_convert(load)  # It has no Python conditions on tensors: trace it as it is.
    return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def _of_length(batch_size: int, tensor):
    """Tells the graph the length that `tensor` has."""
    return tf.ensure_shape(tensor, [batch_size, *tensor.shape[1:]])
