"""Odd and broken files among good ones: readable files are used, the others are named, and training finishes."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from damaged_files import KINDS, write_damaged
from data_files import RGB, data_options, write_folder

from kerasnets.data.pipeline import evaluation_batches, training_batches
from kerasnets.data.shard_writer import write_shards
from kerasnets.data.sources import open_source
from kerasnets.runs.log import read_log

TOTAL = 50


@pytest.mark.parametrize("kind", ["folder", "tfrecord"])
def test_what_can_be_read_is_read_and_the_rest_is_named(tmp_path, kind):
    bad, names = write_damaged(tmp_path / "photos", count=2 * len(KINDS), good=TOTAL - 2 * len(KINDS))
    if kind == "tfrecord":
        write_shards(tmp_path / "photos", tmp_path / "shards")
    path = str(tmp_path / ("photos" if kind == "folder" else "shards"))
    options = data_options(kind=kind, path=path, bad_image_limit=0.5)
    source = open_source(options.source, "train")
    assert source.size == len(names) == TOTAL
    batches = [(x.numpy(), y.numpy(), w.numpy()) for x, y, w in evaluation_batches(source, RGB, options, batch_size=16)]
    pixels, labels, weights = (np.concatenate(parts)[:TOTAL] for parts in zip(*batches, strict=True))

    def file(index):  # in a shard the name is that of the class folder and the file
        name = source.image_name(index)
        return name if kind == "folder" else str(tmp_path / "photos" / "train" / name.split("(")[1].rstrip(")"))

    files = [file(index) for index in range(TOTAL)]
    assert sorted(files) == sorted(names)
    assert [name for name, weight in zip(files, weights, strict=True) if not weight] == sorted(bad, key=files.index)
    assert [file(image.index) for image in source.bad_images.all()] == sorted(bad, key=files.index)
    assert all(image.reason and "\n" not in image.reason for image in source.bad_images.all())
    good = weights > 0
    assert (pixels[good].reshape(good.sum(), -1).std(axis=1) > 5).all()
    assert all(("cat", "dog")[y] in name for y, name in zip(labels[good], np.array(files)[good], strict=True))


def test_training_goes_on_over_broken_files(tmp_path):
    bad, names = write_damaged(tmp_path, count=2 * len(KINDS), good=TOTAL - 2 * len(KINDS))
    options = data_options({"random_resized_crop": {"scale": [0.5, 1]}}, 0.5, kind="folder", path=str(tmp_path))
    source = open_source(options.source, "train")
    batches = training_batches(source, RGB, options, batch_size=10, seed=0).take(12)
    for images, _ in batches:
        assert (images.numpy().reshape(10, -1).std(axis=1) > 3).all()
    assert {image.name for image in source.bad_images.all()} == set(bad)


def test_an_epoch_trains_on_every_image_that_can_be_read(tmp_path):
    bad, _ = write_damaged(tmp_path, count=2 * len(KINDS), good=TOTAL - 2 * len(KINDS))
    options = data_options({}, 0.5, kind="folder", path=str(tmp_path))
    source = open_source(options.source, "train")
    ((pixels, _, weights),) = evaluation_batches(source, RGB, options, batch_size=TOTAL)
    readable = {image.tobytes() for image in pixels.numpy()[weights > 0]}
    epoch = training_batches(source, RGB, options, batch_size=10, seed=0).take(TOTAL // 10)
    assert len(readable) == TOTAL - len(bad)
    assert {image.tobytes() for images, _ in epoch for image in images.numpy()} == readable


RECIPE = """
model: {name: squeezenet1_1}
data:
  source: {kind: folder, path: DATA}
  evaluation_split: train
  size: 48
  augmentation: {random_resized_crop: {}, random_flip: horizontal}
  bad_image_limit: 0.5
batch_size: 50
epochs: 1
optimizer: {name: sgd, learning_rate: 0.001}
"""
# Peak memory includes that of the parent at the fork, so a small process starts the command.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=sys.stderr, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def train(folder, count, good):
    """Trains by the command in a fresh process; returns bad files, all files, the run folder and the peak memory."""
    bad, names = write_damaged(folder / "data", count=count, good=good)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.replace("DATA", str(folder / "data")))
    command = [sys.executable, "-m", "kerasnets", "train", str(recipe), "-o", str(folder / "run")]
    peak = subprocess.run([sys.executable, "-c", MEASURE, *command], stdout=subprocess.PIPE, check=True).stdout
    return bad, names, folder / "run", int(peak)


@pytest.mark.slow
def test_a_thousand_damaged_images(tmp_path):
    """Training and evaluation finish, the log names exactly the skipped files, and memory does not grow."""
    *_, plain = train(tmp_path / "clean", count=0, good=300)
    bad, names, run, peak = train(tmp_path / "damaged", count=1000, good=300)
    log = read_log(run)
    # The epoch and the evaluation both read every file, so each skipped file is named twice.
    assert next(event for event in log if event["event"] == "start")["steps_per_epoch"] * 50 == len(names)
    named = collections.Counter(event["name"] for event in log if event["event"] == "bad_image")
    assert named == dict.fromkeys(bad, 2)
    result = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert result["examples"] == len(names) - len(bad)
    print(f"{len(bad)} of {len(names)} files skipped; at most {peak / 1e6:.0f} MB, without them {plain / 1e6:.0f} MB")
    assert peak < plain + 300e6


@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("make", [training_batches, evaluation_batches])
def test_a_file_that_cannot_be_read_stops_the_run_and_is_no_bad_image(tmp_path, make, cache):
    write_folder(tmp_path)
    options = data_options({}, 1.0, kind="folder", path=str(tmp_path)).model_copy(update={"cache": cache})
    source = open_source(options.source, "train")
    gone = Path(source.paths[3])
    gone.unlink()
    gone.mkdir()  # an error that is not "no such file", for whomever the tests run as
    settings = {"seed": 0} if make is training_batches else {}
    with pytest.raises(OSError, match="could not be read") as caught, source.bad_images.explained():
        for _ in make(source, RGB, options, batch_size=10, **settings).take(2):
            pass
    assert str(gone) in str(caught.value) and "\n" not in str(caught.value)
    assert not source.bad_images.all()


def test_a_batch_without_a_good_image_stops_the_run(tmp_path):
    write_folder(tmp_path)
    options = data_options({}, 1.0, kind="folder", path=str(tmp_path))
    source = open_source(options.source, "train")
    for path in source.paths:
        Path(path).write_bytes(b"no picture")
    with pytest.raises(RuntimeError, match="None of the 10 images of a batch can be decoded"):
        with source.bad_images.explained():
            next(iter(training_batches(source, RGB, options, batch_size=10, seed=0)))
    source = open_source(options.source, "train")
    # Evaluation goes on, and its result tells how many examples counted.
    for _, _, weights in evaluation_batches(source, RGB, options, batch_size=10):
        assert not weights.numpy().any()
