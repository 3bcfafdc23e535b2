"""Writes the images of a folder into TFRecord shards (the command `kerasnets shard`); sources/shards.py reads them."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.fingerprint import fingerprint
from kerasnets.data.sources.folder import folder_splits, open_folder
from kerasnets.data.sources.shard_check import sha256
from kerasnets.data.sources.shards import FORMAT, INDEX, VERSION
from kerasnets.data.sources.source import Source, labels_of
from kerasnets.recipe.data_options import SourceOptions

# In the unfinished folder: what is to be written, and a line for each finished shard.
_PLAN, _FINISHED = "plan.json", "finished.jsonl"
# The approximate number of files whose sizes decide the number of shards.
_SAMPLE = 10_000
# Reading small files waits for the disk more than for the processor.
_THREADS = 8


def write_shards(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    shard_bytes: int = 128 * 2**20,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, shards: None,
) -> dict:
    """Writes all splits of an image folder as shards; `output` appears only when all of them are complete.

    Several shards are written at a time, in a folder beside `output`. After a kill, the same call goes on there: shards
    that were finished are kept.

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
    finished = _resume(unfinished, {"shard_bytes": shard_bytes, "seed": seed} | _facts(sources))
    index = {"format": FORMAT, "version": VERSION, "classes": list(*classes), "splits": {}}
    for split, source in sources.items():
        index["splits"][split] = _write_split(source, unfinished, finished, shard_bytes, seed, progress)
    (unfinished / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in (_PLAN, _FINISHED):
        (unfinished / name).unlink()
    os.replace(unfinished, output)
    return index


def _facts(sources: dict[str, Source]) -> dict:
    """Returns a checksum of what the splits are made of."""
    facts = json.dumps({split: fingerprint(source) for split, source in sources.items()}, sort_keys=True)
    return {"images": hashlib.sha256(facts.encode()).hexdigest()}


def _resume(folder: Path, plan: dict) -> dict[str, dict]:
    """Returns the shards that a killed call with the same plan has finished; of another plan nothing is kept."""
    try:
        same = json.loads((folder / _PLAN).read_text(encoding="utf-8")) == plan
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / _FINISHED).touch()
        (folder / _PLAN).write_text(json.dumps(plan), encoding="utf-8")
    shards = {}
    for line in (folder / _FINISHED).read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # the last line of a killed call
            shard = json.loads(line)
            path = folder / shard["file"]
            if path.is_file() and path.stat().st_size == shard["bytes"]:
                shards[shard["file"]] = shard
    return shards


def _write_split(source: Source, folder: Path, finished: dict, shard_bytes: int, seed: int, progress) -> dict:
    """Writes the shards of one split, several at a time, and returns its part of the index."""
    labels = labels_of(source)
    sample = range(0, source.size, max(1, source.size // _SAMPLE))
    mean = sum(os.path.getsize(source.paths[index]) for index in sample) / len(sample)
    count = min(source.size, max(1, math.ceil(mean * source.size / shard_bytes)))
    order = np.random.default_rng(seed).permutation(source.size)
    names = [f"{source.split}-{number:05}-of-{count:05}.tfrecord" for number in range(count)]
    lock, done = threading.Lock(), 0

    def write(name: str, indices: np.ndarray) -> dict:
        nonlocal done
        shard = finished.get(name) or _write_shard(folder / name, source, labels, indices)
        with lock:
            done += 1
            if name not in finished:
                with (folder / _FINISHED).open("a", encoding="utf-8") as file:
                    file.write("\n" + json.dumps(shard) + "\n")
            progress(source.split, done, count)
        return shard

    pool = ThreadPoolExecutor(_THREADS)
    try:
        shards = list(pool.map(write, names, np.array_split(order, count)))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, shards that were not begun are not written
    counts = np.bincount(labels, minlength=len(source.classes)).tolist()
    return {"examples": source.size, "class_counts": counts, "shards": shards}


def _write_shard(path: Path, source: Source, labels: np.ndarray, indices: np.ndarray) -> dict:
    """Writes one shard and returns its entry in the index."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in indices:
            writer.write(_example(Path(source.paths[index]), int(labels[index])))
    return {"file": path.name, "examples": len(indices), "bytes": path.stat().st_size, "sha256": sha256(path)}


def _example(path: Path, label: int) -> bytes:
    """Returns one image file and its label as a serialised `tf.train.Example`."""

    def feature(value: bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/encoded": feature(path.read_bytes()),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "image/filename": feature(f"{path.parent.name}/{path.name}".encode()),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)
