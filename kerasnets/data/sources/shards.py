"""TFRecord shards of an image folder: a few large files, read in one go, where a folder has a million small ones.

A folder of shards holds `index.json` and, per split, files `train-00000-of-00004.tfrecord`. The examples lie in a
shuffled order, for a stream is mixed only as far as its buffer reaches. Each is a `tf.train.Example` in the usual form
of ImageNet: `image/encoded` (the file, byte for byte), `image/class/label` (from 0), `image/filename`. The index says
classes, counts, sizes and the SHA-256 of every shard:

    {"format": "kerasnets shards", "version": 1, "classes": [...], "splits": {"train": {"examples": 1281167,
     "class_counts": [...], "shards": [{"file": ..., "examples": ..., "bytes": ..., "sha256": ...}, ...]}}}
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.bad_images import BadImages
from kerasnets.data.sources import Source, check_split, folder_splits, open_source
from kerasnets.recipe.data_options import SourceOptions

INDEX = "index.json"
_FORMAT, _VERSION = "kerasnets shards", 1
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], "int64"),
}


def write_shards(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    shard_bytes: int = 128 * 2**20,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, shards: None,
) -> dict:
    """Writes all splits of an image folder as shards; nothing is at `output` until everything is.

    Args:
        folder: class sub-folders of images, or splits of them, as the source kind `folder` reads them.
        output: the new folder.
        shard_bytes: how large a shard becomes, roughly.
        seed: decides the order of the examples.
        progress: called with the split, how many of its shards are written, and how many it has.

    Returns:
        The index.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: for a folder that is no image folder, splits of different classes, an `output` that holds something.
        OSError: when a file cannot be read or written.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"Shards are written to a new folder. Choose another. Received: output={str(output)!r}")
    options = SourceOptions(kind="folder", path=os.fspath(folder))
    sources = {split: open_source(options, split) for split in folder_splits(Path(folder))[0]}
    classes = {source.classes for source in sources.values()}
    if len(classes) > 1:
        raise ValueError(f"All splits need the same classes. Received: {', '.join(sources)} in {os.fspath(folder)!r}")
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    index = {"format": _FORMAT, "version": _VERSION, "classes": list(*classes), "splits": {}}
    for split, source in sources.items():
        index["splits"][split] = _write_split(source, unfinished, shard_bytes, seed, progress)
    (unfinished / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, output)
    return index


def _write_split(source: Source, folder: Path, shard_bytes: int, seed: int, progress) -> dict:
    """Writes the shards of one split and returns its part of the index."""
    names = {name: number for number, name in enumerate(source.classes)}
    labels = np.array([names[Path(path).parent.name] for path in source.paths])
    total = sum(os.path.getsize(path) for path in source.paths)
    count = min(source.size, max(1, -(-total // shard_bytes)))
    order = np.random.default_rng(seed).permutation(source.size)
    shards = []
    for number, part in enumerate(np.array_split(order, count)):
        path = folder / f"{source.split}-{number:05}-of-{count:05}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for place in part:
                writer.write(_example(Path(source.paths[place]), int(labels[place])))
        size, digest = path.stat().st_size, _sha256(path)
        shards.append({"file": path.name, "examples": len(part), "bytes": size, "sha256": digest})
        progress(source.split, number + 1, count)
    counts = np.bincount(labels, minlength=len(names)).tolist()
    return {"examples": source.size, "class_counts": counts, "shards": shards}


def _example(path: Path, label: int) -> bytes:
    def feature(value: bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/encoded": feature(path.read_bytes()),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "image/filename": feature(f"{path.parent.name}/{path.name}".encode()),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_shards(options: SourceOptions, split: str) -> Source:
    """Opens one split of a folder of shards, after checking its files against the index.

    Raises:
        FileNotFoundError: when the folder, its index or a shard is missing.
        ValueError: for an index that is none, an unknown split, a damaged shard (which is named).
    """
    folder = Path(options.path)
    index = _read_index(folder)
    check_split(split, tuple(index["splits"]), options.path)
    shards = index["splits"][split]["shards"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda shard: _check_shard(folder, shard, options.verify), shards))
    counts = [shard["examples"] for shard in shards]
    first, size = np.cumsum([0, *counts])[:-1], sum(counts)
    files, firsts = tf.constant([str(folder / s["file"]) for s in shards]), tf.constant(first, tf.int64)

    def records(number):
        rows = tf.data.TFRecordDataset(tf.gather(files, number), buffer_size=2**20)
        return rows.enumerate(tf.gather(firsts, number)).map(_parse)

    def stream(seed=None):
        return _shuffled(len(shards), seed).flat_map(records)

    def order(seed=None):
        lengths = tf.constant(counts, tf.int64)
        numbers = _shuffled(len(shards), seed)
        return numbers.flat_map(lambda number: tf.data.Dataset.range(firsts[number], firsts[number] + lengths[number]))

    names = {}  # of the shards that were asked for: each is read once, and not once for each of its images

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
        shuffle_buffer=options.shuffle_buffer,
        facts=lambda: {f"the SHA-256 of {shard['file']}": shard["sha256"] for shard in shards},
    )


def _parse(index, row):
    example = tf.io.parse_single_example(row, _FEATURES)
    return index, example["image/encoded"], tf.cast(example["image/class/label"], tf.int32)


def _shuffled(count: int, seed) -> tf.data.Dataset:
    """Returns the numbers of shards, in another order for each seed."""
    numbers = tf.range(count)
    if seed is not None:
        numbers = tf.random.experimental.stateless_shuffle(numbers, seed)
    return tf.data.Dataset.from_tensor_slices(numbers)


def _image_names(path: Path) -> list[str]:
    """Returns for each example of a shard the shard, its number in it, and the file that it was."""
    wanted = {"image/filename": tf.io.FixedLenFeature([], tf.string)}
    rows = tf.data.TFRecordDataset(str(path), buffer_size=2**20)
    files = rows.map(lambda row: tf.io.parse_single_example(row, wanted)["image/filename"])
    return [f"{path.name}#{number} ({name.decode()})" for number, name in enumerate(files.as_numpy_iterator())]


def _read_index(folder: Path) -> dict:
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {INDEX} there, as `kerasnets shard` writes it. Received: path={str(folder)!r}"
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if (index["format"], index["version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"format {index['format']!r}, version {index['version']}")
        for shard in (shard for split in index["splits"].values() for shard in split["shards"]):
            if Path(shard["file"]).name != shard["file"] or min(int(shard["examples"]), int(shard["bytes"])) < 1:
                raise ValueError(f"shard {shard['file']!r}")
            str(shard["sha256"])
        list(index["classes"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not an index of shards ({error}). Received: path={str(folder)!r}") from None
    return index


def _check_shard(folder: Path, shard: dict, verify: bool) -> None:
    """Raises when a shard is not what the index says."""
    path = folder / shard["file"]
    if not path.is_file():
        raise FileNotFoundError(f"The shard {shard['file']} is missing. Received: path={str(folder)!r}")
    found = f"{path.stat().st_size} bytes"
    wrong = found != f"{shard['bytes']} bytes"
    if not wrong and verify:
        found = f"SHA-256 {_sha256(path)}"
        wrong = found != f"SHA-256 {shard['sha256']}"
    if wrong:
        raise ValueError(
            f"The shard {shard['file']} is damaged: {found}, not {shard['bytes']} bytes of SHA-256 {shard['sha256']}. "
            f"Copy or write it again. Received: path={str(folder)!r}"
        )
