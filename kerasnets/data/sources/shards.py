"""TFRecord shards: a few large files that are read in one go, in place of a folder of a million small ones.

A folder of shards holds `index.json` and, per split, files such as `train-00000-of-00004.tfrecord`. The examples are
stored in a shuffled order, because a stream is shuffled only within its buffer. Each example is a `tf.train.Example` in
the usual form of ImageNet: `image/encoded` (the bytes of the file), `image/class/label` (from 0), `image/filename`. The
index holds classes, counts, sizes and the SHA-256 of every shard:

    {"format": "kerasnets shards", "version": 1, "classes": [...], "splits": {"train": {"examples": 1281167,
     "class_counts": [...], "shards": [{"file": ..., "examples": ..., "bytes": ..., "sha256": ...}, ...]}}}

`shard_writer.py` writes such a folder.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.errors import BadImages
from kerasnets.data.sources.records import record_reader
from kerasnets.data.sources.shard_check import check_shards
from kerasnets.data.sources.source import Source, check_split
from kerasnets.recipe.data_options import SourceOptions

INDEX = "index.json"
FORMAT, VERSION = "kerasnets shards", 1
# How many shards a training reads at the same time.
AT_ONCE = 4
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], "int64"),
}


def open_shards(options: SourceOptions, split: str) -> Source:
    """Opens one split of a folder of shards, after checking its files against the index.

    Raises:
        FileNotFoundError: the folder, its index or a shard is missing.
        ValueError: the index cannot be read, the split is unknown, or a shard is damaged (the error names it).
    """
    folder = Path(options.path)
    index = _read_index(folder)
    check_split(split, tuple(index["splits"]), options.path)
    shards = index["splits"][split]["shards"]
    check_shards(folder, shards, options.verify)
    counts = [shard["examples"] for shard in shards]
    first, size = np.cumsum([0, *counts])[:-1], sum(counts)
    files, firsts = tf.constant([str(folder / s["file"]) for s in shards]), tf.constant(first, tf.int64)

    def records(number):
        examples = tf.data.TFRecordDataset(tf.gather(files, number), buffer_size=2**20)
        return examples.enumerate(tf.gather(firsts, number)).map(_parse)

    def stream(seed=None):
        return _interleaved(len(shards), seed, records)

    def order(seed=None):
        lengths = tf.constant(counts, tf.int64)
        return _interleaved(len(shards), seed, lambda n: tf.data.Dataset.range(firsts[n], firsts[n] + lengths[n]))

    names = {}  # shard number -> names of its images, so that each shard is read at most once for them

    def image_name(index):
        number = int(np.searchsorted(first, index, side="right")) - 1
        if number not in names:
            names[number] = _image_names(folder / shards[number]["file"])
        return names[number][int(index - first[number])]

    return Source(
        name=folder.name,
        split=split,
        classes=tuple(index["classes"]),
        size=size,
        encoded=True,
        bad_images=BadImages(size),
        image_name=image_name,
        stream=stream,
        order=order,
        records=lambda: record_reader(
            ((str(folder / shard["file"]), 0, shard["examples"]) for shard in shards),
            lambda record: _parse(0, record)[1:],
        ),
        shuffle_buffer=options.shuffle_buffer,
        facts=lambda: {f"the SHA-256 of {shard['file']}": shard["sha256"] for shard in shards},
    )


def _parse(index, serialized):
    example = tf.io.parse_single_example(serialized, _FEATURES)
    return index, example["image/encoded"], tf.cast(example["image/class/label"], tf.int32)


def _interleaved(count: int, seed, records) -> tf.data.Dataset:
    """Returns the records of `count` shards.

    Without a seed they come shard after shard. With one the shards are shuffled, and `AT_ONCE` of them are read at the
    same time, one record of each in turn; this order depends on the seed alone.
    """
    numbers = tf.range(count)
    if seed is None:
        return tf.data.Dataset.from_tensor_slices(numbers).flat_map(records)
    numbers = tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(numbers, seed))
    at_once = min(AT_ONCE, count)
    return numbers.interleave(records, at_once, 1, num_parallel_calls=at_once, deterministic=True)


def _image_names(path: Path) -> list[str]:
    """Returns a name for each example of a shard: the shard, the number in it, and the file that it was made of."""
    wanted = {"image/filename": tf.io.FixedLenFeature([], tf.string)}
    examples = tf.data.TFRecordDataset(str(path), buffer_size=2**20)
    files = examples.map(lambda example: tf.io.parse_single_example(example, wanted)["image/filename"])
    return [f"{path.name}#{number} ({name.decode()})" for number, name in enumerate(files.as_numpy_iterator())]


def _read_index(folder: Path) -> dict:
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f"The folder has no {INDEX}; `kerasnets shard` writes it. Received: path={str(folder)!r}"
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if (index["format"], index["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {index['format']!r}, version {index['version']}")
        for shard in (shard for split in index["splits"].values() for shard in split["shards"]):
            if Path(shard["file"]).name != shard["file"] or min(int(shard["examples"]), int(shard["bytes"])) < 1:
                raise ValueError(f"shard {shard['file']!r}")
            str(shard["sha256"])
        list(index["classes"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not an index of shards ({error}). Received: path={str(folder)!r}") from None
    return index
