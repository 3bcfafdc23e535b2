"""Warnings: each appears where it should, and only there."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from kerasnets.data.sources import open_source
from kerasnets.recipe.data_options import SourceOptions
from kerasnets.recipe.read import load_recipe
from kerasnets.recipe.schema import OptimizerOptions
from kerasnets.registry import Preprocessing
from kerasnets.runs.log import read_log
from kerasnets.training import advice
from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


def arrays(folder, highest=255, labels=(0, 1, 2)):
    rng = np.random.default_rng(0)
    values = {}
    for split, count in (("train", 12), ("test", 6)):
        values[f"x_{split}"] = rng.integers(0, highest + 1, (count, 8, 8)).astype("uint8")
        values[f"y_{split}"] = np.resize(labels if split == "test" else [0, 1, 2], count)
    np.savez(folder / "a.npz", **values)
    return open_source(SourceOptions(kind="arrays", path=str(folder / "a.npz")), "test")


def numbers(mean, std):
    return Preprocessing(8, 1.0, "bilinear", (mean,), (std,))


def test_pixels_that_do_not_fit(tmp_path):
    assert advice.check_pixels(arrays(tmp_path), numbers(127.5, 127.5)) == []
    (dark,) = advice.check_pixels(arrays(tmp_path, highest=16), numbers(127.5, 127.5))
    assert "reach 16 of 255" in dark
    (wrong,) = advice.check_pixels(arrays(tmp_path), numbers(0.485, 0.229))
    assert "preprocessing.mean and preprocessing.std are in units of 0-255" in wrong


def test_classes_without_an_image(tmp_path):
    assert advice.check_classes(arrays(tmp_path)) == []
    assert advice.check_classes(arrays(tmp_path, labels=(0, 2))) == ["no image of class '1' in a/test"]
    (tmp_path / "set").mkdir()
    for name, count in (("cat", 6), ("dog", 3)):
        (tmp_path / "set" / name).mkdir()
        for i in range(count):
            (tmp_path / "set" / name / f"{i}.png").write_bytes(tf.io.encode_png(np.zeros((4, 4, 3), "uint8")).numpy())
    source = open_source(SourceOptions(kind="folder", path=str(tmp_path / "set")), "test")
    assert advice.check_classes(source) == ["no image of class 'dog' in set/test"]


@pytest.mark.parametrize(
    ("name", "rate", "batch", "far"),
    [("sgd", 0.1, 128, False), ("sgd", 0.1, 4, True), ("sgd", 1e-4, 256, True), ("adamw", 2e-3, 32, False)]
    + [("adamw", 0.1, 256, True), ("rmsprop", 0.256, 4096, False), ("rmsprop", 0.256, 64, True)],
)
def test_learning_rates_far_from_the_rule(name, rate, batch, far):
    options = TypeAdapter(OptimizerOptions).validate_python({"name": name, "learning_rate": rate})
    found = advice.check_learning_rate(options, batch)
    assert bool(found) == far and all(f"batch_size={batch}" in line for line in found)


@pytest.mark.parametrize("path", sorted(DIGITS.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_recipes_give_no_warning(path):
    recipe = load_recipe(path)
    assert advice.check_learning_rate(recipe.optimizer, recipe.batch_size) == []


def test_speeds_are_compared_with_both_figures():
    assert advice.slow_pipeline(0.010, 0.010) is None
    assert "takes 25 ms, a step 10 ms" in advice.slow_pipeline(0.025, 0.010)

    def slow(_):
        time.sleep(0.02)
        return np.float32(0)

    batches = tf.data.Dataset.range(100).map(lambda i: tf.numpy_function(slow, [i], tf.float32))
    warnings = []
    callback = advice.CompareSpeeds(lambda: batches, 1, warnings.append)
    for batch in range(advice.WARM_UP + advice.CALLS + 2):
        callback.on_train_batch_begin(batch)
        callback.on_train_batch_end(batch, {"loss": 0.0})
    (line,) = warnings
    assert "the pipeline is slower than the step: reading a batch takes 2" in line


def test_the_time_of_a_batch_is_the_median():
    def slow_once(number):
        time.sleep(0.3 if number == 3 else 0.01)
        return number

    batches = tf.data.Dataset.range(100).map(lambda i: tf.numpy_function(slow_once, [i], tf.int64))
    assert advice.seconds_a_batch(batches) < 0.06


def test_a_batch_that_does_not_divide():
    strategy = SimpleNamespace(num_replicas_in_sync=4)
    trainer = SimpleNamespace(distribute_strategy=strategy, preprocessing=numbers(127.5, 127.5))
    source = open_source(SourceOptions(kind="digits"), "train")
    recipe = SimpleNamespace(batch_size=30, epochs=1, jit_compile=False)
    settings = {"source": source, "sources": {"training": source}, "steps_per_epoch": 2}
    job = SimpleNamespace(recipe=recipe, trainer=trainer, **settings)
    (line,) = advice.advise(job)
    assert line.startswith("batch_size=30 is not a multiple of 4 devices") and "try 28" in line


def test_warnings_are_printed_and_logged_and_a_file_gets_no_bar(tmp_path, capsys):
    overrides = [
        "epochs=2",
        "steps_per_epoch=6",
        "steps_per_execution=6",
        "batch_size=16",
        "optimizer={name: sgd, learning_rate: 1e-7}",
    ]
    run = train(DIGITS, tmp_path / "run", overrides=[*overrides, "evaluation.max_batches=1"])
    (event,) = (e for e in read_log(run.path) if e["event"] == "warning")
    assert event["message"].startswith(
        "optimizer.learning_rate=1e-07 is far from what is usual for sgd with batch_size=16"
    )
    output = capsys.readouterr()
    assert f"warning: {event['message']}" in output.err
    assert [line[:9] for line in output.out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
