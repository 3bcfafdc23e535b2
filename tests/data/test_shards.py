"""Shards are read back as written, by other readers too; an error names a damaged shard; caching in memory."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from data_files import RGB, data_options, write_folder

from kerasnets.cli.app import run
from kerasnets.data import shard_writer
from kerasnets.data.pipeline import batch_names, evaluation_batches, training_batches
from kerasnets.data.shard_writer import write_shards
from kerasnets.data.sources import open_source, shard_check
from kerasnets.data.sources import source as source_module
from kerasnets.recipe.data_options import SourceOptions


@pytest.fixture
def shards(tmp_path):
    """20 training and 4 test images of two classes, the training ones in three shards."""
    write_folder(tmp_path / "photos")
    write_folder(tmp_path / "photos", per_class=2, split="test")
    total = sum(file.stat().st_size for file in (tmp_path / "photos" / "train").rglob("*.*"))
    write_shards(tmp_path / "photos", tmp_path / "shards", shard_bytes=total // 2 - 1)
    return tmp_path / "shards"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASNETS_HOME", str(tmp_path / "home"))


def opened(path, split="train", **options):
    return open_source(SourceOptions(kind="tfrecord", path=str(path), **options), split)


def records(source, *seed):
    return [(int(i), image.numpy(), int(label)) for i, image, label in source.stream(*seed)]


def test_shards_hold_every_file_byte_for_byte(shards):
    folder = open_source(SourceOptions(kind="folder", path=str(shards.with_name("photos"))), "train")
    source = opened(shards)
    assert (source.classes, source.size) == (("cat", "dog"), 20) and opened(shards, "test").size == 4
    found = records(source)
    assert [index for index, _, _ in found] == list(range(20))
    expected = [(fetched[0].numpy(), int(fetched[1])) for fetched in map(folder.fetch, range(20))]
    assert sorted((image, label) for _, image, label in found) == sorted(expected)
    assert [label for *_, label in found] != sorted(label for *_, label in found)
    for number in (0, 8, 19):
        name = source.image_name(number)
        file = shards.with_name("photos") / "train" / name.split("(")[1].rstrip(")")
        assert file.read_bytes() == found[number][1] and name.startswith("train-0000")


def test_another_seed_brings_the_shards_in_another_order(shards):
    source = opened(shards)
    plain = records(source)
    orders = {tuple(i for i, *_ in records(source, tf.constant([0, seed], tf.int64))) for seed in range(8)}
    assert len(orders) > 2 and all(sorted(order) == list(range(20)) for order in orders)
    assert sorted(records(source, tf.constant([0, 1], tf.int64))) == plain


def test_index_says_what_the_files_are_and_others_can_read_them(shards):
    index = json.loads((shards / "index.json").read_text(encoding="utf-8"))
    train = index["splits"]["train"]
    assert index["classes"] == ["cat", "dog"] and train["class_counts"] == [10, 10] and train["examples"] == 20
    assert len(train["shards"]) == 3 and sum(shard["examples"] for shard in train["shards"]) == 20
    for shard in train["shards"]:
        contents = (shards / shard["file"]).read_bytes()
        assert len(contents) == shard["bytes"] and hashlib.sha256(contents).hexdigest() == shard["sha256"]
    row = next(tf.data.TFRecordDataset(str(shards / train["shards"][0]["file"])).as_numpy_iterator())
    features = tf.train.Example.FromString(row).features.feature
    assert sorted(features) == ["image/class/label", "image/encoded", "image/filename"]


def damage(path, how):
    contents = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(contents[:-7])
    else:
        contents[len(contents) // 2] ^= 1
        path.write_bytes(contents)


@pytest.mark.parametrize("how", ["missing", "cut", "flipped"])
def test_a_damaged_shard_is_refused_by_its_name(shards, how):
    damage(shards / "train-00001-of-00003.tfrecord", how)
    error = FileNotFoundError if how == "missing" else ValueError
    with pytest.raises(error, match=r"shard train-00001-of-00003\.tfrecord is (missing|damaged)") as caught:
        opened(shards)
    assert "\n" not in str(caught.value)
    assert opened(shards, "test").size == 4
    if how == "flipped":
        assert opened(shards, verify=False).size == 20


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "kerasnets shards", "version": 2}', '"x"',
             '{"format": "kerasnets shards", "version": 1, "classes": ["a"], "splits": {"train": {"shards": '
             '[{"file": "../a", "examples": 1, "bytes": 1, "sha256": ""}]}}}'],
)  # fmt: skip
def test_a_broken_index_is_one_line(shards, text):
    (shards / "index.json").write_text(text)
    with pytest.raises(ValueError, match="is not an index of shards .*Received: path=") as caught:
        opened(shards)
    assert "\n" not in str(caught.value)


def test_wrong_requests(shards, tmp_path):
    photos = shards.with_name("photos")
    with pytest.raises(FileNotFoundError, match="has no index.json"):
        opened(photos)
    with pytest.raises(ValueError, match="Unknown split .*it has test, train"):
        opened(shards, "validation")
    kept = (shards / "index.json").read_bytes()
    with pytest.raises(ValueError, match="written to a new folder. Choose another. Received: output="):
        write_shards(photos, shards)
    (photos / "test" / "bird").mkdir()
    (photos / "test" / "bird" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="All splits need the same classes"):
        write_shards(photos, tmp_path / "new")
    assert (shards / "index.json").read_bytes() == kept and not list(tmp_path.glob("*new*"))


def test_the_command_writes_the_same_shards_again(shards, tmp_path, capsys):
    assert run(["shard", str(tmp_path / "photos"), "-o", str(tmp_path / "again"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["cat", "dog"] and found["splits"]["train"]["examples"] == 20
    assert run(["shard", str(tmp_path / "nothing")]) == 2
    assert run(["shard", str(tmp_path / "photos"), "-o", str(tmp_path / "again")]) == 2
    assert "Choose another" in capsys.readouterr().err


def test_the_hash_of_a_shard_is_computed_once(shards, monkeypatch):
    hashed, sha256 = [], shard_check.sha256
    monkeypatch.setattr(shard_check, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    for split, count in (("train", 3), ("test", 1), ("train", 0), ("test", 0)):
        opened(shards, split)
        assert len(hashed) == count
        hashed.clear()
    path = shards / "train-00001-of-00003.tfrecord"
    contents = path.read_bytes()
    damage(path, "flipped")
    for _ in range(2):
        with pytest.raises(ValueError, match="train-00001-of-00003.tfrecord is damaged"):
            opened(shards)
    path.write_bytes(contents)
    hashed.clear()
    opened(shards)
    assert hashed == [path.name]
    (stamp,) = (shards.parent / "home" / "verified").iterdir()
    stamp.write_text("[")
    hashed.clear()
    opened(shards)
    assert len(hashed) == 3
    monkeypatch.setenv("KERASNETS_HOME", "/dev/null")
    assert opened(shards).size == 20


KILLED = """
import os, sys
from kerasnets.data import shard_writer
write, written = shard_writer._write_shard, []
def killed(path, *arguments):
    shard = write(path, *arguments)
    written.append(path)
    if len(written) == 3:
        path.write_bytes(b"half of it")
        os._exit(9)
    return shard
shard_writer._write_shard, shard_writer._THREADS = killed, 1
shard_writer.write_shards(sys.argv[1], sys.argv[2], shard_bytes=int(sys.argv[3]))
"""


def test_a_killed_writing_goes_on(shards, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    total = sum(file.stat().st_size for file in (photos / "train").rglob("*.*"))
    arguments = [str(photos), str(tmp_path / "again"), str(total // 2 - 1)]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments]).returncode == 9
    assert not (tmp_path / "again").exists() and (tmp_path / "again.unfinished").is_dir()
    written, write = [], shard_writer._write_shard
    monkeypatch.setattr(
        shard_writer, "_write_shard", lambda path, *rest: written.append(path.name) or write(path, *rest)
    )
    write_shards(photos, tmp_path / "again", shard_bytes=total // 2 - 1)
    assert len(written) == 2
    assert not (tmp_path / "again.unfinished").exists()
    files = sorted(path.name for path in shards.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((shards / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)


def test_what_was_written_of_other_images_is_not_kept(shards, tmp_path, monkeypatch):
    photos, write = tmp_path / "photos", shard_writer._write_shard

    def fails(path, *rest):
        if path.name.startswith("train"):
            raise OSError("disk full")
        return write(path, *rest)

    monkeypatch.setattr(shard_writer, "_write_shard", fails)
    with pytest.raises(OSError, match="disk full"):
        write_shards(photos, tmp_path / "again")
    assert list((tmp_path / "again.unfinished").glob("test-*.tfrecord"))
    (photos / "test" / "cat" / "00.jpg").rename(photos / "test" / "cat" / "new.jpg")
    monkeypatch.setattr(shard_writer, "_write_shard", write)
    write_shards(photos, tmp_path / "again")
    assert any("cat/new.jpg" in opened(tmp_path / "again", "test").image_name(place) for place in range(4))


def batches_of(source, options, count, **settings):
    batches = training_batches(source, RGB, options, batch_size=5, seed=3, **settings)
    return [(images.numpy(), labels.numpy()) for images, labels in batches.take(count)]


def same(first, second):
    return all(np.array_equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.slow
def test_shards_train_and_resume_exactly_and_are_evaluated_from_memory(shards):
    augmentation = {"random_resized_crop": {}, "random_flip": "horizontal"}
    options = data_options(augmentation, kind="tfrecord", path=str(shards), shuffle_buffer=8)
    source = open_source(options.source, "train")
    first = batches_of(source, options, 9)
    assert same(first[5:], batches_of(source, options, 4, start_step=5))
    assert not any(np.array_equal(a, b) for (a, _), (b, _) in zip(first[:4], first[4:8], strict=True))
    assert len(set(batch_names(source, options, 5, 3, 1))) == 5
    stored = [images.numpy() for images, *_ in evaluation_batches(source, RGB, options, batch_size=20)]
    kept = options.model_copy(update={"cache": "memory"})
    cached = [images.numpy() for images, *_ in evaluation_batches(source, RGB, kept, batch_size=20)]
    np.testing.assert_array_equal(stored, cached)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_the_images_of_a_batch_are_named_without_reading_the_epoch(shards, cache):
    options = data_options({}, kind="tfrecord", path=str(shards), shuffle_buffer=8).model_copy(update={"cache": cache})
    source = open_source(options.source, "train")
    ((pixels, *_),) = evaluation_batches(source, RGB, options, batch_size=20)
    named = {source.image_name(index): pixels[index].numpy() for index in range(20)}
    trained = [images.numpy() for images, _ in training_batches(source, RGB, options, batch_size=5, seed=3).take(8)]

    def read(seed=None):
        raise AssertionError("the images were read")

    unread = dataclasses.replace(source, stream=read)
    for step in (0, 2, 7):
        for name, image in zip(batch_names(unread, options, 5, 3, step), trained[step], strict=True):
            np.testing.assert_array_equal(named[name], image)


def test_a_folder_in_memory_gives_the_same_pixels_and_is_read_once(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train" / "cat" / "00.jpg").write_bytes(b"broken")
    options = data_options({"random_resized_crop": {}}, kind="folder", path=str(tmp_path), bad_image_limit=0.2)
    source = open_source(options.source, "train")
    plain = batches_of(source, options, 5)
    kept = options.model_copy(update={"cache": "memory"})
    cached = batches_of(source, kept, 5)
    assert same(plain, cached)
    assert [image.name for image in source.bad_images.all()] == [source.paths[0]]
    for path in (tmp_path / "train").rglob("*.*"):
        path.write_bytes(b"changed")
    assert same(plain[1:], batches_of(source, kept, 4, start_step=1))


def test_memory_that_is_too_small_is_one_line(tmp_path, monkeypatch):
    write_folder(tmp_path, per_class=5)
    monkeypatch.setattr(source_module, "_free_memory", lambda: 1000.0)
    options = data_options(kind="folder", path=str(tmp_path)).model_copy(update={"cache": "memory"})
    source = open_source(options.source, "train")
    with pytest.raises(ValueError, match="more than half of the free memory. Set data.cache to none. Received: cache="):
        training_batches(source, RGB, options, batch_size=5, seed=0)
