"""The recipe key `quantize`: its stages, a resumed run, several devices, the finished network and its file."""

import json
import os
from pathlib import Path

import fresh
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from kerasnets.compression.quantization import is_quantization_aware
from kerasnets.exporters.export import export
from kerasnets.layers.fake_quantize import FakeQuantize
from kerasnets.recipe.read import load_recipe
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import open_run
from kerasnets.runs.log import read_log
from kerasnets.training.loop import train

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "recipes" / "lenet5_digits.yaml"
# A ResNet of three blocks, with batch normalisation.
QUANTIZED = [
    "model={name: resnet20_cifar, spec: {depths: [1, 1, 1]}}", "preprocessing={mean: [78], std: [96]}", "epochs=3",
    "steps_per_epoch=4", "batch_size=16", "evaluation.max_batches=1", "steps_per_execution=1",
    "optimizer={name: sgd, learning_rate: 0.05}", "quantize={from_epoch: 1, freeze_batch_norm_from: 2}",
]  # fmt: skip


def job(folder, **settings):
    """Trains in a process of its own, by training_job.py, and returns the finished process."""
    arguments = {"recipe": os.fspath(DIGITS), "runs": {os.fspath(folder): QUANTIZED}, **settings}
    return fresh.run(ROOT / "tests" / "support" / "training_job.py", json.dumps(arguments))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(DIGITS, tmp_path_factory.mktemp("runs") / "whole", overrides=QUANTIZED, progress=False)


def test_rounding_begins_and_batch_norm_stays_as_the_recipe_says(run):
    stages = [e for e in read_log(run.path) if e["event"] == "quantize"]
    assert [(e["epoch"], e["rounding"], e["batch_norm_frozen"]) for e in stages] == [
        (1, False, False),
        (2, True, False),
        (3, True, True),
    ]
    before, after = (
        checkpoints.load(run.path / "checkpoints" / f"{name}.safetensors")[0] for name in ("previous", "last")
    )
    trained = [name for name in after if name.startswith("network") and (before[name] != after[name]).any()]
    kernels = [name for name in after if name.startswith("network") and after[name].ndim > 1]
    assert sorted(trained)[:-1] == sorted(kernels)  # and the bias of the classifier


def test_the_finished_network_rounds_and_its_file_has_its_ranges(run, tmp_path):
    network = open_run(run.path).model
    assert is_quantization_aware(network)
    report = export(run.path, "tflite-int8", output=tmp_path / "net.tflite", bounds={"top1_agreement": 0.5})
    assert report["top1_agreement"] > 0.98 and not report["float_islands"]
    details = Interpreter(str(tmp_path / "net.tflite")).get_tensor_details()
    scales = [each["quantization_parameters"]["scales"] for each in details]
    scales = np.array([each[0] for each in scales if len(each) == 1])
    ranges = [layer.range for layer in network.layers if isinstance(layer, FakeQuantize)]
    assert len(ranges) > 10
    for low, high in ranges:
        assert np.abs(scales / ((high - low) / 255) - 1).min() < 1e-5


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(run, tmp_path):
    part = tmp_path / "part"
    assert job(part, die_at=9).returncode == -9
    train(DIGITS, part, overrides=QUANTIZED, resume=True, progress=False)
    ours, theirs = (checkpoints.load(each / "checkpoints" / "last.safetensors") for each in (part, run.path))
    for name, value in ours[0].items():
        np.testing.assert_array_equal(value, theirs[0][name], err_msg=name)
    assert (part / "evaluation.json").read_text() == (run.path / "evaluation.json").read_text()


@pytest.mark.slow
def test_two_devices_train_with_one_range(tmp_path):
    assert job(tmp_path / "two", devices=2).returncode == 0
    two = open_run(tmp_path / "two")
    assert json.loads((two.path / "environment.json").read_text())["devices"] == ["CPU:0", "CPU:1"]
    assert all(layer.range[1] > layer.range[0] for layer in two.model.layers if isinstance(layer, FakeQuantize))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["precision=mixed_bfloat16"], "float32 only"),
        (["quantize={from_epoch: 3}"], "before the end"),
        (["quantize.freeze_batch_norm_from=0"], "should not come before"),
        (["quantize.bits=4"], "8"),
    ],
)
def test_wrong_keys_are_one_line(overrides, message):
    with pytest.raises(ValueError, match=message) as raised:
        load_recipe(DIGITS, [*QUANTIZED, *overrides])
    assert "\n" not in str(raised.value)


def test_a_smoke_run_rounds():
    assert load_recipe(DIGITS, QUANTIZED, smoke=True).quantize.from_epoch == 0
