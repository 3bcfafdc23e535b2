"""Odd and broken files in a folder of good ones: what can be read is read, what cannot is named, training ends."""

import json
import os
import resource
import sys

import numpy as np
import pytest
from damaged_files import KINDS, write_damaged
from data_files import RGB, data_options

from kerasnets.data.pipeline import evaluation_batches, training_batches
from kerasnets.data.shards import write_shards
from kerasnets.data.sources import open_source


@pytest.mark.parametrize("kind", ["folder", "tfrecord"])
def test_what_can_be_read_is_read_and_the_rest_is_named(tmp_path, kind):
    bad, names = write_damaged(tmp_path / "photos", count=2 * len(KINDS), good=10)
    if kind == "tfrecord":
        write_shards(tmp_path / "photos", tmp_path / "shards")
    path = str(tmp_path / ("photos" if kind == "folder" else "shards"))
    options = data_options(kind=kind, path=path, bad_image_limit=0.5)
    source = open_source(options.source, "train")
    assert source.size == len(names) == 40
    batches = [(x.numpy(), y.numpy(), w.numpy()) for x, y, w in evaluation_batches(source, RGB, options, batch_size=16)]
    pixels, labels, weights = (np.concatenate(parts)[:40] for parts in zip(*batches, strict=True))

    def file(index):  # in a shard the name is that of the class folder and the file
        name = source.image_name(index)
        return name if kind == "folder" else str(tmp_path / "photos" / "train" / name.split("(")[1].rstrip(")"))

    files = [file(index) for index in range(40)]
    assert sorted(files) == sorted(names)
    assert [name for name, weight in zip(files, weights, strict=True) if not weight] == sorted(bad, key=files.index)
    assert [file(image.index) for image in source.bad_images.all()] == sorted(bad, key=files.index)
    assert all(image.reason and "\n" not in image.reason for image in source.bad_images.all())
    good = weights > 0
    assert (pixels[good].reshape(good.sum(), -1).std(axis=1) > 5).all()
    assert all(("cat", "dog")[y] in name for y, name in zip(labels[good], np.array(files)[good], strict=True))


def test_training_goes_on_over_broken_files(tmp_path):
    bad, names = write_damaged(tmp_path, count=2 * len(KINDS), good=10)
    options = data_options({"random_resized_crop": {"scale": [0.5, 1]}}, 0.5, kind="folder", path=str(tmp_path))
    source = open_source(options.source, "train")
    batches = training_batches(source, RGB, options, batch_size=10, seed=0).take(12)
    for images, _ in batches:
        assert (images.numpy().reshape(10, -1).std(axis=1) > 3).all()
    assert {image.name for image in source.bad_images.all()} == set(bad)


RECIPE = """
model: {name: squeezenet}
data:
  source: {kind: folder, path: DATA}
  evaluation_split: train
  size: 48
  augmentation: {random_resized_crop: {}, random_flip: horizontal}
  bad_image_limit: LIMIT
batch_size: 50
epochs: 1
optimizer: {name: sgd, learning_rate: 0.001}
"""


def train(folder, limit, count, good):
    """Runs `kerasnets train` in a process of its own; returns its bad files, run folder, exit code, peak of memory."""
    bad, names = write_damaged(folder / "data", count=count, good=good)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.replace("DATA", str(folder / "data")).replace("LIMIT", str(limit)))
    command = [sys.executable, "-m", "kerasnets", "train", str(recipe), "-o", str(folder / "run")]
    code = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(command[0], command, os.environ), 0)[1])
    return bad, folder / "run", code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


@pytest.mark.slow
def test_a_thousand_damaged_images(tmp_path):
    """Trained to the end and evaluated; all skipped files stand in the log; memory as without any damaged file."""
    (tmp_path / "clean").mkdir()
    (tmp_path / "damaged").mkdir()
    *_, code, plain = train(tmp_path / "clean", 0.0, count=0, good=1000)
    assert code == 0
    bad, run, code, peak = train(tmp_path / "damaged", 0.5, count=1000, good=1000)
    assert code == 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    text = json.dumps(log)
    assert not [name for name in bad if name not in text]
    result = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert result["examples"] == 2000 - len(bad)
    assert peak < plain + 1.5e9
