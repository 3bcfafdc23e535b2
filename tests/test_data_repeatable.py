"""The same pixels and weights from the same seed, whatever the threads; the figures of `kerasnets benchmark data`."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from data_files import RGB, data_options, write_folder

from kerasnets.cli.app import run
from kerasnets.data.pipeline import training_batches
from kerasnets.data.sources import open_source

RECIPE = """
model: {name: lenet5_modern}
data:
  source: {kind: folder, path: DATA}
  evaluation_split: train
  augmentation: {random_resized_crop: {}, random_flip: horizontal}
batch_size: 10
epochs: 2
optimizer: {name: sgd, learning_rate: 0.01}
"""


def write_recipe(folder):
    write_folder(folder / "data")
    (folder / "recipe.yaml").write_text(RECIPE.replace("DATA", str(folder / "data")))
    return str(folder / "recipe.yaml")


def test_threads_change_nothing(tmp_path):
    write_folder(tmp_path)
    options = data_options({"random_resized_crop": {}, "random_flip": "both"}, kind="folder", path=str(tmp_path))
    source = open_source(options.source, "train")
    batches = training_batches(source, RGB, options, batch_size=5, seed=1).take(9)
    seen = []
    for threads in (1, 7):
        setting = tf.data.Options()
        setting.threading.private_threadpool_size = threads
        seen.append([images.numpy() for images, _ in batches.with_options(setting)])
    np.testing.assert_array_equal(*seen)
    assert not any(np.array_equal(a, b) for a, b in zip(seen[0][:4], seen[0][4:8], strict=True))


def test_benchmark_names_the_slowest_stage(tmp_path, capsys):
    recipe = write_recipe(tmp_path)
    assert run(["benchmark", "data", recipe, "--images", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [stage["name"] for stage in found["stages"]]
    assert names == ["read", "decode", "resize", "random_flip", "normalise, in the step", "whole pipeline"]
    assert all(stage["images_per_second"] > 0 and stage["cpu_microseconds"] >= 0 for stage in found["stages"])
    costs = {stage["name"]: stage["cpu_microseconds"] for stage in found["stages"][:-1]}
    assert found["slowest"] == max(costs, key=costs.get)
    assert run(["benchmark", "data", str(tmp_path / "none.yaml")]) == 2


@pytest.mark.slow
def test_two_processes_with_one_seed_end_with_the_same_weights(tmp_path):
    recipe = write_recipe(tmp_path)
    digests = []
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        command = [sys.executable, "-m", "kerasnets", "train", recipe, "-o", str(tmp_path / name)]
        subprocess.run([*command, "--set", f"seed={seed}"], check=True, capture_output=True)
        newest = max((tmp_path / name / "checkpoints").glob("*.safetensors"))
        digests.append(hashlib.sha256(newest.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]
