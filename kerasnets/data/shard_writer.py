"""Writes the images of a folder into TFRecord shards (the command `kerasnets shard`); sources/shards.py reads them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.sources.folder import folder_splits, open_folder
from kerasnets.data.sources.shards import FORMAT, INDEX, VERSION, sha256
from kerasnets.data.sources.source import Source, labels_of
from kerasnets.recipe.data_options import SourceOptions


def write_shards(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    shard_bytes: int = 128 * 2**20,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, shards: None,
) -> dict:
    """Writes all splits of an image folder as shards; `output` appears only when all of them are complete.

    Args:
        folder: class sub-folders of images, or splits of them, as the source kind `folder` reads them.
        output: the new folder.
        shard_bytes: the approximate size of a shard.
        seed: decides the order of the examples.
        progress: called with the split, how many of its shards are written, and how many it has.

    Returns:
        The index, as `sources/shards.py` describes it.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: `folder` is not an image folder, its splits have different classes, or `output` is not empty.
        OSError: a file cannot be read or written.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"Shards are written to a new folder. Choose another. Received: output={str(output)!r}")
    options = SourceOptions(kind="folder", path=os.fspath(folder))
    sources = {split: open_folder(options, split) for split in folder_splits(Path(folder))[0]}
    classes = {source.classes for source in sources.values()}
    if len(classes) > 1:
        raise ValueError(f"All splits need the same classes. Received: {', '.join(sources)} in {os.fspath(folder)!r}")
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    index = {"format": FORMAT, "version": VERSION, "classes": list(*classes), "splits": {}}
    for split, source in sources.items():
        index["splits"][split] = _write_split(source, unfinished, shard_bytes, seed, progress)
    (unfinished / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, output)
    return index


def _write_split(source: Source, folder: Path, shard_bytes: int, seed: int, progress) -> dict:
    """Writes the shards of one split and returns its part of the index."""
    labels = labels_of(source)
    total = sum(os.path.getsize(path) for path in source.paths)
    count = min(source.size, max(1, -(-total // shard_bytes)))
    order = np.random.default_rng(seed).permutation(source.size)
    shards = []
    for number, indices in enumerate(np.array_split(order, count)):
        path = folder / f"{source.split}-{number:05}-of-{count:05}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for index in indices:
                writer.write(_example(Path(source.paths[index]), int(labels[index])))
        size, digest = path.stat().st_size, sha256(path)
        shards.append({"file": path.name, "examples": len(indices), "bytes": size, "sha256": digest})
        progress(source.split, number + 1, count)
    counts = np.bincount(labels, minlength=len(source.classes)).tolist()
    return {"examples": source.size, "class_counts": counts, "shards": shards}


def _example(path: Path, label: int) -> bytes:
    """Returns one image file and its label as a serialised `tf.train.Example`."""

    def feature(value: bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/encoded": feature(path.read_bytes()),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "image/filename": feature(f"{path.parent.name}/{path.name}".encode()),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
