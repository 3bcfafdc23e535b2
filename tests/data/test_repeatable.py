"""The same seed gives the same pixels and weights with any number of threads; `kerasnets benchmark data`."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from data_files import RGB, data_options, write_folder, write_photo_recipe

from kerasnets.cli.app import run
from kerasnets.data.pipeline import training_batches
from kerasnets.data.sources import open_source


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
    recipe = write_photo_recipe(tmp_path)
    assert run(["benchmark", "data", recipe, "--images", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [stage["name"] for stage in found["stages"]]
    assert names == ["read", "decode", "resize", "random_flip", "normalise, in the step", "whole pipeline"]
    assert all(stage["images_per_second"] > 0 and stage["cpu_microseconds"] >= 0 for stage in found["stages"])
    costs = {stage["name"]: stage["cpu_microseconds"] for stage in found["stages"][:-1]}
    assert found["slowest"] == max(costs, key=costs.get)
    assert run(["benchmark", "data", str(tmp_path / "none.yaml")]) == 2


# All operations on one image but RandAugment, which test_augmentation.py tests.
AUGMENTATION = """
  random_resized_crop: {}
  pad_and_crop: {padding: 4}
  random_flip: both
  affine: {shift: 0.1, rotation: 15, scale: [0.9, 1.1], shear: 5}
  color_jitter: {brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}
  pca_lighting: 0.1
"""
# Trains, then prints digests of the images of the first two epochs and of the weights.
JOB = """
import hashlib, json, sys

from kerasnets.data.pipeline import training_batches
from kerasnets.data.sources import open_source
from kerasnets.training.loop import train

def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()

recipe, folder, *overrides = sys.argv[1:]
run = train(recipe, folder, overrides=overrides, progress=False)
source, settings = open_source(run.recipe.data.source, "train"), {"batch_size": 10, "seed": run.recipe.seed}
batches = training_batches(source, run.preprocessing, run.recipe.data, **settings).take(4)
pixels = [digest(image) for images, _ in batches for image in images.numpy()]
print(json.dumps({"pixels": pixels, "weights": [digest(weight.numpy()) for weight in run.model.weights]}))
"""


@pytest.mark.slow
def test_one_seed_gives_the_same_pixels_and_weights_in_every_process_and_no_two_epochs_the_same_pixels(tmp_path):
    recipe, found = write_photo_recipe(tmp_path), {}
    colour = "preprocessing={mean: [124, 116, 104], std: [58, 57, 57]}"
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        overrides = [f"seed={seed}", colour, f"data.augmentation={{{', '.join(AUGMENTATION.strip().splitlines())}}}"]
        command = [sys.executable, "-c", JOB, recipe, str(tmp_path / name), *overrides]
        found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert len(found["one"]["pixels"]) == 40 and len(found["one"]["weights"]) == 10
    assert found["one"] == found["two"]
    first, second, other = found["one"]["pixels"][:20], found["one"]["pixels"][20:], found["other"]["pixels"]
    assert len({*first, *second, *other}) == 80
    assert not set(found["one"]["weights"]) & set(found["other"]["weights"])
