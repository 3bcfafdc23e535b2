"""Export of a model that was trained with `fit`: images, labels and preprocessing that the caller passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import fill
from sklearn.datasets import load_digits

import kerasnets
from kerasnets.exporters.images import calibration_images, check_images
from kerasnets.exporters.open_network import open_network
from kerasnets.exporters.own_images import own_images
from kerasnets.exporters.predict import open_predictor
from kerasnets.registry import Preprocessing

NUMBERS = {"mean": [7.5], "std": [15.0]}
LABELS = tuple("zero one two three four five six seven eight nine".split())


@pytest.fixture(scope="module")
def digits():
    """Pixels 0-15, (1797, 8, 8, 1), and labels."""
    found = load_digits()
    return np.minimum(found.images, 15)[..., np.newaxis].astype("uint8"), found.target


@pytest.fixture(scope="module")
def model(digits) -> keras.Model:
    """A plain Keras model, trained with `fit`; it knows nothing of kerasnets."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(16, 3, activation="relu")(inputs))
    net = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x), name="mine")
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit((digits[0] - 7.5) / 15.0, digits[1], epochs=4, verbose=0)
    return net


def as_dataset(images, labels, batch):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch)


@pytest.mark.parametrize("kind", ["array", "pair", "dataset", "folder"])
def test_a_model_of_fit_is_exported_as_int8(kind, model, digits, tmp_path):
    images, labels = digits[0][:600], digits[1][:600]
    if kind == "folder":
        for number in range(60):
            (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(images[number]).numpy())
    given = {
        "array": images,
        "pair": (images.astype("float32"), labels),
        "dataset": as_dataset(images, tf.one_hot(labels, 10), 32),
        "folder": tmp_path,
    }[kind]
    chosen = {"preprocessing": NUMBERS, "labels": LABELS, "output": tmp_path / "net.tflite"}
    report = kerasnets.export(model, "tflite-int8", given, **chosen)
    assert report["passed"] and report["examples"] == (60 if kind == "folder" else 600)
    assert report["labelled"] == (300 if kind in ("pair", "dataset") else 0)
    if report["labelled"]:
        assert report["accuracy"] > 0.9
        low, high = report["accuracy_interval"]
        assert low < report["accuracy"] < high
    predictor = open_predictor(report["path"])
    assert predictor.labels == LABELS
    assert np.mean(predictor.run(digits[0][600:800]).argmax(-1) == digits[1][600:800]) > 0.85


def test_calibration_and_comparison_see_different_images(model, digits):
    network = open_network(model, preprocessing=NUMBERS)
    given = own_images((digits[0][:400], digits[1][:400]), network.preprocessing, 2000)
    held_out = check_images(network, given)
    first, second = ({i.tobytes() for i in part} for part in (calibration_images(network, given), held_out.pixels))
    assert len(held_out.pixels) == 200 and not first & second
    assert (held_out.labels == digits[1][1:400:2]).all()


def test_images_of_another_size_are_prepared_as_for_evaluation():
    colour = Preprocessing(size=16, crop_fraction=1.0)
    photos = np.full((3, 20, 30, 3), 200, "uint8")
    photos[:, :, :2] = 0  # The centre has no black.
    assert set(np.unique(own_images(photos, colour, 10).pixels)) == {200}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((4, 8, 8, 1)), "pixels from 0 to 255, before any normalisation. Received: values from 0 to 0"),
        (np.full((4, 8, 8, 1), 0.5), "Received: values from 0.5 to 0.5"),
        (np.full((4, 8, 8, 1), -2.0), "Received: values from -2 to -2"),
        (np.full((4, 8, 8, 3), 9), r"shape \(height, width, 1\). Received: \(8, 8, 3\)"),
        (np.full((1, 8, 8, 1), 9), "at least two images.*Received: 1"),
        ((np.full((4, 8, 8, 1), 9), [0, 1]), "needs a label. Received: 4 images, 2 labels"),
        ((np.full((4, 8, 8, 1), 9), [0, 1, 2, 70]), "whole numbers from 0 to 9. Received: .*70"),
        (tf.data.Dataset.from_tensor_slices({"a": [1]}), "images, or images and labels. Received: elements"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(given, words, model, tmp_path):
    with pytest.raises(ValueError, match=words) as error:
        kerasnets.export(model, "tflite-int8", given, preprocessing=NUMBERS, output=tmp_path / "net.tflite")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_labels_and_numbers_that_do_not_fit_are_refused(model):
    with pytest.raises(ValueError, match="mine has 2 labels and the network 10 classes"):
        open_network(model, preprocessing=NUMBERS, labels=["cat", "dog"])
    with pytest.raises(ValueError, match="a mean for each of the 1 channels of 'mine'. Received: mean="):
        open_network(model, preprocessing="resnet50")
    with pytest.raises(ValueError, match="The model does not say how its images are prepared"):
        open_network(model)


def test_a_model_with_the_name_of_another_network_takes_its_numbers():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    net = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x), name="net")
    fill(net)
    numbers = open_network(net, preprocessing="efficientnet_lite0").preprocessing
    assert numbers.size == 32 and numbers.mean == open_network("efficientnet_lite0").preprocessing.mean
