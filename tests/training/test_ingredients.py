"""Losses beside those of PyTorch and timm, class weights, another size for training, and averages of every nth step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from data_files import data_options, write_folder
from golden_files import ingredients

from kerasnets.cli.app import run as command
from kerasnets.data.images.per_image import normalise
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import labels_of
from kerasnets.evaluation.multi_label import score_multi_label
from kerasnets.exporters.evaluate import evaluate
from kerasnets.exporters.export import export
from kerasnets.exporters.predict import predict
from kerasnets.recipe.read import load_recipe
from kerasnets.recipe.schema import LossOptions
from kerasnets.registry import Preprocessing
from kerasnets.training.loop import train
from kerasnets.training.losses import binary_cross_entropy, cross_entropy, is_correct, with_class_weights
from kerasnets.training.prepare import classifier, prepare

GOLDEN = ingredients()
LOGITS, LABELS, SOFT = (tf.constant(GOLDEN[name]) for name in ("logits", "labels", "soft"))


@pytest.mark.parametrize(
    ("name", "loss", "labels", "settings"),
    [
        ("smoothed", cross_entropy, LABELS, {"label_smoothing": 0.1}),
        ("smoothed_soft", cross_entropy, SOFT, {"label_smoothing": 0.1}),
        ("weighted", cross_entropy, LABELS, {"class_weights": GOLDEN["class_weights"]}),
        ("binary", binary_cross_entropy, LABELS, {}),
        ("binary_smoothed", binary_cross_entropy, LABELS, {"label_smoothing": 0.1}),
        ("binary_threshold", binary_cross_entropy, SOFT, {"threshold": 0.2}),
        ("binary_several", binary_cross_entropy, tf.constant(GOLDEN["several"]), {}),
    ],
)
def test_losses_are_pytorchs_and_timms(name, loss, labels, settings):
    np.testing.assert_allclose(loss(LOGITS, labels, **settings), GOLDEN[name], rtol=1e-6, atol=1e-6)


def test_class_weights():
    source = open_source(data_options(kind="digits").source, "train")
    counts = np.bincount(labels_of(source))
    balanced = with_class_weights(LossOptions(class_weights="balanced"), source).class_weights
    np.testing.assert_allclose(balanced, source.size / 10 / counts)
    assert with_class_weights(LossOptions(), source).class_weights is None
    with pytest.raises(ValueError, match="needs one for each of 10 classes. Received: 2"):
        with_class_weights(LossOptions(class_weights=(1.0, 2.0)), source)
    # A soft label has the mean of the weights; the binary loss weights each class on its own.
    weights, soft = np.float32([1, 2, 0.5, 3, 0.25]), GOLDEN["soft"]
    plain = cross_entropy(LOGITS, SOFT)
    np.testing.assert_allclose(cross_entropy(LOGITS, SOFT, 0.0, weights), plain * (soft @ weights), rtol=1e-5)
    alone = [binary_cross_entropy(LOGITS, LABELS, class_weights=np.eye(5, dtype="float32")[i]) for i in range(5)]
    both = binary_cross_entropy(LOGITS, LABELS, class_weights=weights)
    np.testing.assert_allclose(both, sum(w * a for w, a in zip(weights, alone, strict=True)), rtol=1e-5)


def test_a_stream_has_no_balanced_weights():
    source = open_source(data_options(kind="digits").source, "train")
    stream = tf.data.Dataset.range(3)
    object.__setattr__(source, "stream", lambda seed=None: stream)
    with pytest.raises(ValueError, match="read as a stream. Give one number for each class"):
        with_class_weights(LossOptions(class_weights="balanced"), source)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "test"):
        write_folder(root, split=split)
    return root


def small_recipe(photos, *overrides):
    settings = [f"data.source={{kind: folder, path: {photos}}}", "model.name=resnet20_cifar", "batch_size=8"]
    settings += ["model.spec={depths: [1, 1, 1]}", "steps_per_execution=1", "data.size=24"]
    return load_recipe("lenet5_digits", [*settings, "data.augmentation={random_resized_crop: {}}", *overrides])


def test_training_images_have_a_size_of_their_own(photos):
    recipe = small_recipe(photos, "data.training_size=16", "data.augmentation.random_erasing={probability: 1.0}")
    ready = prepare(recipe)
    assert next(iter(ready.train))[0].shape == (8, 16, 16, 3)
    assert next(iter(ready.validation))[0].shape[1:] == (24, 24, 3)
    assert ready.model.network.input_shape == (None, None, None, 3)
    assert classifier(ready.job, ready.model.network.get_weights()).input_shape == (None, 24, 24, 3)
    with pytest.raises(ValueError, match="lenet5_modern takes images of one size"):
        prepare(load_recipe("lenet5_digits", ["data.training_size=24"]))


def test_averages_of_every_third_step(photos):
    ready = prepare(small_recipe(photos, "ema={momentum: 0.5, warmup: false, every_steps: 3}"))
    kernel = ready.model.network.trainable_variables[0]
    average = ready.model.averages[[w is kernel for w in ready.model.network.weights].index(True)]
    first = kernel.numpy()
    ready.model.fit(ready.train, steps_per_epoch=2, verbose=0)
    np.testing.assert_array_equal(average.numpy(), first)
    ready.model.fit(ready.train, steps_per_epoch=1, verbose=0)
    np.testing.assert_allclose(average.numpy(), (first + kernel.numpy()) / 2, rtol=1e-5, atol=1e-7)
    keras.backend.clear_session()


@pytest.mark.slow
def test_images_with_several_classes(tmp_path, capsys):
    """Bright left half, bright right half, both or neither: two classes, each on its own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (96, 2)).astype("int32")
    images = rng.integers(0, 60, (96, 24, 24, 3)).astype("uint8")
    images[labels[:, 0] == 1, :, :12] += 150
    images[labels[:, 1] == 1, :, 12:] += 150
    np.savez(tmp_path / "a.npz", x_train=images[:64], y_train=labels[:64], x_test=images[64:], y_test=labels[64:])
    settings = [f"data.source={{kind: arrays, path: {tmp_path / 'a.npz'}}}", "data.augmentation={mixup: 0.2}"]
    settings += ["loss={name: binary_cross_entropy, class_weights: balanced}", "epochs=6", "model.name=resnet20_cifar"]
    settings += ["model.spec={depths: [1, 1, 1]}", "data.size=24", "steps_per_execution=1", "batch_size=16"]
    run = train(load_recipe("lenet5_digits", settings), tmp_path / "run", progress=False)
    probabilities = run.model.predict(normalise(images[64:], run.preprocessing), verbose=0)
    assert run.evaluation["examples"] == 32 and run.evaluation["mean_average_precision"] > 0.9
    assert (probabilities.sum(axis=1) > 1.05).any() and run.model.layers[-1].activation.__name__ == "sigmoid"
    again = evaluate(tmp_path / "run")
    assert again["mean_average_precision"] == pytest.approx(run.evaluation["mean_average_precision"], abs=1e-6)
    both = int(np.argmax(probabilities.sum(axis=1)))
    tf.io.write_file(str(tmp_path / "both.png"), tf.io.encode_png(images[64 + both]))
    answer = predict(tmp_path / "run", [tmp_path / "both.png"])[0]["predictions"]
    found = [row["probability"] for row in sorted(answer, key=lambda row: row["index"])]
    np.testing.assert_allclose(found, probabilities[both], atol=1e-4)
    report = export(tmp_path / "run", "tflite", output=tmp_path / "several.tflite")
    assert (
        report["passed"]
        and report["labelled"] == 32
        and report["accuracy"] == report["keras_accuracy"] == labels[64:].any(1).mean()
    )
    answer = predict(tmp_path / "several.tflite", [tmp_path / "both.png"])[0]["predictions"]
    np.testing.assert_allclose([row["probability"] for row in answer], np.sort(probabilities[both])[::-1], atol=1e-4)
    assert command(["evaluate", str(tmp_path / "run"), "--crops", "10"]) == 2
    assert "Images with several classes are evaluated by one network" in capsys.readouterr().err
    for override, text in (
        ("loss={}", "set loss.name to binary_cross_entropy"),
        ("data.validation_fraction=0.2", "several classes cannot be held out"),
    ):
        with pytest.raises(ValueError, match=text):
            prepare(load_recipe("lenet5_digits", [*settings, override]))


def test_scores_of_several_classes():
    """Against scikit-learn's formula by hand: class 0 is ranked perfectly, class 1 has its only image at rank 2."""
    probabilities = np.float32([[0.9, 0.2], [0.8, 0.9], [0.1, 0.6]])
    labels = np.int32([[1, 0], [1, 0], [0, 1]])
    images = keras.Input((1, 1, 1))
    model = keras.Model(images, keras.layers.Lambda(lambda x: tf.constant(probabilities) + 0 * x[:, 0, 0])(images))
    batches = tf.data.Dataset.from_tensors((np.zeros((3, 1, 1, 1)), labels, np.ones(3, "float32")))
    found = score_multi_label(model, batches, Preprocessing(1, 1.0, "bilinear", (0.0,), (1.0,)))
    assert found["examples"] == 3 and found["top5"] == 1.0 and found["top1"] == pytest.approx(2 / 3)
    assert found["mean_average_precision"] == pytest.approx((1.0 + 0.5) / 2)
    share = np.where(labels == 1, probabilities, 1 - probabilities)
    assert found["loss"] == pytest.approx(-np.log(share).mean(), rel=1e-5)
    logits = tf.constant(np.log(probabilities / (1 - probabilities)))
    np.testing.assert_array_equal(is_correct(logits, tf.constant(labels), 1, multi_label=True), [1, 0, 1])
