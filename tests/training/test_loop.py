"""Whole runs: every recipe as a smoke run, kill and resume, one device and two, wrong requests."""

import json
import os
from pathlib import Path

import fresh
import numpy as np
import pytest
import tensorflow as tf

from kerasnets.data.images.per_image import normalise
from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources import open_source
from kerasnets.evaluation.evaluate import evaluate
from kerasnets.recipe.read import load_recipe
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import open_run
from kerasnets.runs.log import read_log
from kerasnets.training.loop import fit_segments, train

ROOT = Path(__file__).parents[2]
# test_recipes.py runs those of ImageNet and CIFAR.
RECIPES = [p for p in sorted((ROOT / "recipes").glob("*.yaml")) if not p.stem.endswith(("_imagenet", "_cifar"))]
DIGITS = ROOT / "recipes" / "lenet5_digits.yaml"
TINY = ["epochs=2", "steps_per_epoch=4", "batch_size=16", "evaluation.max_batches=1", "steps_per_execution=1"]


def job(runs, check=True, **settings):
    """Trains the runs {folder: overrides} by training_job.py and returns the finished process."""
    runs = {os.fspath(folder): overrides for folder, overrides in runs.items()}
    arguments = {"recipe": os.fspath(DIGITS), "runs": runs, **settings}
    result = fresh.run(ROOT / "tests" / "support" / "training_job.py", json.dumps(arguments))
    assert not check or result.returncode == 0, result.stderr[-2000:]
    return result


def folder_of_pictures(root, size=32, channels=3, classes=10):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in range(classes):
            place = root / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 256, (size, size, channels)).astype("uint8")
                (place / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return root


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=() if p == DIGITS else pytest.mark.slow, id=p.stem) for p in RECIPES],
)
def test_every_recipe_runs_as_a_smoke_run(path, tmp_path):
    kind, overrides = load_recipe(path).data.source.kind, []
    if kind == "folder":
        overrides = [f"data.source.path={folder_of_pictures(tmp_path / 'pictures')}"]
        if "weights" in load_recipe(path).model.arguments:  # public weights would have to be downloaded
            overrides += ["model.arguments.weights=null", "data.size=32"]
    elif kind == "arrays":
        images, labels = np.zeros((40, 28, 28), "uint8"), np.arange(40) % 10
        np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        overrides = [f"data.source.path={tmp_path / 'a.npz'}"]
    run = train(path, tmp_path / "run", smoke=True, overrides=overrides, progress=False)
    events = [e["event"] for e in read_log(run.path)]
    assert [e for e in events if e not in ("warning", "stage")] == ["start", "epoch", "end"]
    result = run.evaluation
    assert result["examples"] == 8 and np.sum(result["confusion"]) == 8 and np.isfinite(result["loss"])
    assert all((run.path / w["image"]).is_file() for w in result["wrong"])
    assert run.model.output_shape == (None, len(run.labels)) and len(run.model.outputs) == 1
    np.testing.assert_allclose(run.model(np.zeros((1, *run.model.input_shape[1:]))).numpy().sum(), 1.0, rtol=1e-5)
    assert load_recipe(run.path / "recipe.yaml") == run.recipe
    assert list((run.path / "tensorboard").iterdir())
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["tensorflow"] == tf.__version__ and os.uname().nodename not in json.dumps(environment)


EXACT = [
    *TINY, "ema.momentum=0.9", "precision=mixed_float16", "checkpoint.every_steps=3", "optimizer.clip_norm=1",
    "schedule={name: plateau, patience: 1, monitor: loss}", "epochs=3",
]  # fmt: skip


def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    whole = tmp_path / "whole"
    train(DIGITS, whole, overrides=EXACT, progress=False)
    run = tmp_path / "killed"
    # In the middle of epoch 2, after the checkpoint of step 6; then in epoch 3, and once with that checkpoint damaged.
    assert job({run: EXACT}, check=False, die_at=7).returncode == -9
    assert checkpoints.load_newest(run / "checkpoints")[1]["step"] == 6
    assert job({run: EXACT}, check=False, die_at=10, resume=True).returncode == -9
    last = run / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    train(DIGITS, run, overrides=EXACT, resume=True, progress=False)
    events = [e["event"] for e in read_log(run)]
    assert events.count("resume") == 2 and events.count("warning") == 1 and events.count("epoch") == 3
    ours, theirs = (checkpoints.load(path / "checkpoints" / "last.safetensors") for path in (run, whole))
    assert ours[1] == theirs[1] and ours[1]["step"] == 12
    assert ours[0].keys() == theirs[0].keys()
    for name, value in ours[0].items():
        np.testing.assert_array_equal(value, theirs[0][name], err_msg=name)
    assert (run / "evaluation.json").read_text() == (whole / "evaluation.json").read_text()
    for ours, theirs in zip(open_run(run).model.weights, open_run(whole).model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(ValueError, match="optimizer.learning_rate changed"):
        train(DIGITS, run, overrides=[*EXACT, "optimizer.learning_rate=0.5"], resume=True, progress=False)
    assert train(DIGITS, run, overrides=EXACT, resume=True, progress=False).path == run


# A whole run; distribution_check.py compares the steps of the trainer in many more cases.
SETTINGS = {
    "adamw-clip-ema-accumulation": [
        "optimizer={name: adamw, learning_rate: 1e-3, weight_decay: 0.1, clip_norm: 0.1}",
        "gradient_accumulation=2",
        "ema.momentum=0.9",
    ],
}
FIVE_STEPS = [*TINY, "epochs=1", "steps_per_epoch=5"]


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    job({folder / name: [*FIVE_STEPS, *settings] for name, settings in SETTINGS.items()}, devices=2)
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_two_devices_train_the_weights_of_one(tmp_path, on_two_devices, name):
    settings, one, two = SETTINGS[name], tmp_path / "one", on_two_devices / name
    train(DIGITS, one, overrides=[*FIVE_STEPS, *settings], progress=False)
    assert json.loads((two / "environment.json").read_text())["devices"] == ["CPU:0", "CPU:1"]
    logs = [next(e for e in read_log(run) if e["event"] == "epoch") for run in (one, two)]
    tolerance = 1e-5
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=tolerance)
    assert logs[0]["val_loss"] == pytest.approx(logs[1]["val_loss"], rel=tolerance)
    ours, theirs = (checkpoints.load(run / "checkpoints" / "last.safetensors")[0] for run in (one, two))
    for name, value in ours.items():
        if name.startswith(("network", "average")):
            difference = np.linalg.norm(value.astype("f8") - theirs[name]) / max(
                np.linalg.norm(value.astype("f8")), 1e-8
            )
            assert difference <= tolerance, name
    ours, theirs = (json.loads((run / "evaluation.json").read_text()) for run in (one, two))
    assert ours["confusion"] == theirs["confusion"] and ours["examples"] == theirs["examples"] == 16


def test_evaluation_equals_numpy(tmp_path):
    run = train(DIGITS, tmp_path / "run", smoke=True, progress=False)
    found = evaluate(run, batch_size=100, wrong_folder=tmp_path / "wrong")
    source = open_source(run.recipe.data.source, "test")
    probabilities, labels = [], []
    for images, truth, weights in evaluation_batches(source, run.preprocessing, run.recipe.data, batch_size=90):
        probabilities.append(run.model(normalise(images, run.preprocessing)).numpy()[weights > 0])
        labels.append(truth.numpy()[weights > 0])
    probabilities, labels = np.concatenate(probabilities), np.concatenate(labels)
    assert found["examples"] == len(labels) == 360
    predicted = probabilities.argmax(-1)
    assert found["top1"] == (predicted == labels).mean()
    top5 = [label in row.argsort()[-5:] for label, row in zip(labels, probabilities, strict=True)]
    assert found["top5"] == np.mean(top5)
    assert found["loss"] == pytest.approx(-np.log(probabilities[np.arange(360), labels]).mean(), rel=1e-5)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, predicted), 1)
    assert found["confusion"] == confusion.tolist()
    first = np.flatnonzero(predicted != labels)[:64].tolist()
    assert [w["index"] for w in found["wrong"]] == first
    assert len(list((tmp_path / "wrong").iterdir())) == len(first)


WRONG = [
    (["model.name=lenet5_moder"], ValueError, "Did you mean 'lenet5_modern'"),
    (["model.arguments.clases=10"], ValueError, "Did you mean 'classes'"),
    (["model.arguments.classes=7"], ValueError, "The data has 10 classes. Received: model.arguments.classes=7"),
    (["model.arguments.pooling=avg"], ValueError, "model.arguments.pooling is decided by the trainer"),
    (["data.train_split=trian"], ValueError, "Did you mean 'train'"),
    (["data.source={kind: folder, path: nowhere}"], FileNotFoundError, "no such folder"),
    (["data.size=31"], ValueError, "31"),
    (["preprocessing.mean=[1, 2]"], ValueError, "one mean and one std"),
    (["batch_size=2000"], ValueError, "between 1 and the 1437 examples"),
    (["gradient_accumulation=3"], ValueError, "must be a multiple of devices x gradient_accumulation = 1 x 3"),
    (["loss.weights.aux1=0.3"], ValueError, "Received: 'aux1'"),
    (["model.name=lenet5"], ValueError, "set loss.label_smoothing=0. Received: loss.label_smoothing=0.05"),
    (["synchronized_batch_norm=true"], ValueError, "has none, leave the key out"),
]


@pytest.mark.parametrize(("overrides", "kind", "message"), WRONG, ids=[" ".join(o) for o, _, _ in WRONG])
def test_a_wrong_request_is_one_line_and_writes_nothing(tmp_path, overrides, kind, message):
    with pytest.raises(kind) as caught:
        train(DIGITS, tmp_path / "run", overrides=[*TINY, *overrides], progress=False)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_empty_class_is_named(tmp_path):
    pictures = folder_of_pictures(tmp_path / "pictures", channels=1)
    for file in (pictures / "train" / "class3").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="class3"):
        train(DIGITS, tmp_path / "run", overrides=[f"data.source={{kind: folder, path: {pictures}}}"], progress=False)
    assert not (tmp_path / "run").exists()


def test_best_weights_are_kept_and_a_run_that_does_not_improve_stops(tmp_path):
    overrides = [*TINY, "epochs=6", "optimizer={name: sgd, learning_rate: 1e-9}", "schedule={name: constant}"]
    overrides += ["evaluation.keep=best", "evaluation.patience=2", "evaluation.monitor=val_top1"]
    run = train(DIGITS, tmp_path / "run", overrides=overrides, progress=False)
    end = read_log(run.path)[-1]
    assert end["event"] == "end" and end["stopped_early"] and end["step"] == 12 and end["kept"] == "best (epoch 1)"


@pytest.mark.parametrize(("monitor", "best"), [("val_loss", min), ("val_top1", max)])
def test_the_best_epoch_has_the_lowest_loss_or_the_highest_accuracy(monitor, best, tmp_path):
    overrides = [*TINY, "epochs=4", "evaluation.max_batches=8", "evaluation.keep=best", f"evaluation.monitor={monitor}"]
    run = train(DIGITS, tmp_path / "run", overrides=overrides, progress=False)
    values = [event[monitor] for event in read_log(run.path) if event["event"] == "epoch"]
    assert len(set(values)) > 1 and read_log(run.path)[-1]["kept"] == f"best (epoch {values.index(best(values)) + 1})"


def test_the_calls_of_fit_that_complete_a_run():
    assert fit_segments(0, 4, 2) == [(0, 2, 4)]
    assert fit_segments(4, 4, 2) == [(1, 2, 4)]
    assert fit_segments(6, 4, 3) == [(1, 2, 2), (2, 3, 4)]
    assert fit_segments(7, 4, 2) == [(1, 2, 1)]
    assert fit_segments(8, 4, 2) == []
