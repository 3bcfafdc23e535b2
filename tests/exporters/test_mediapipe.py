"""MediaPipe's own `ImageClassifier` takes the exported files, and gives what LiteRT gives."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from data_files import encode, photo
from nets import fill
from PIL import Image

from kerasnets.cli.export import client_line
from kerasnets.exporters.client import run_mediapipe
from kerasnets.exporters.export import export
from kerasnets.exporters.open_network import open_network
from kerasnets.exporters.predict import open_predictor
from kerasnets.recipe.data_options import DataOptions, SourceOptions

NUMBERS = {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4], "crop_fraction": 1.0}
LABELS = tuple("bee ant wasp fly moth".split())
# In a process of its own: MediaPipe and TensorFlow bring two copies of the same C++ libraries.
PROGRAM = """
import json, sys
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision

path, *photos = sys.argv[1:]
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for photo in photos:
        found = classifier.classify(mp.Image.create_from_file(photo)).classifications[0].categories
        print(json.dumps({each.category_name: each.score for each in found}))
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Files of squares of the network's size, so that no client has to resize them."""
    from sklearn.datasets import load_sample_images

    folder, images = tmp_path_factory.mktemp("photos"), load_sample_images().images
    for number in range(6):
        Image.fromarray(images[number % 2][60 * number :][:64, 90 * number :][:, :64]).save(folder / f"{number}.png")
    return sorted(folder.glob("*.png"))


@pytest.mark.skipif(not importlib.util.find_spec("mediapipe"), reason='needs `pip install -e ".[mediapipe]"`')
@pytest.mark.parametrize("form", ["tflite", "tflite-float16", "tflite-dynamic", "tflite-int8", "tflite-full-integer"])
def test_image_classifier_gives_the_same_probabilities_by_label(form, photos, tmp_path):
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(16, 3, strides=2, activation="relu")(x))
    net = keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x), name="insects")
    fill(net)
    images = np.stack([np.asarray(Image.open(photo)) for photo in photos])
    network = open_network(net, preprocessing=NUMBERS, labels=LABELS)
    bounds = {"largest_difference": None, "top1_agreement": None}
    path = export(network, form, images, tmp_path / "net.tflite", bounds=bounds)["path"]
    command = [sys.executable, "-c", PROGRAM, path, *map(str, photos)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    ours = open_predictor(path).run(images)
    for found, expected in zip(theirs, ours, strict=True):
        assert [found[label] for label in LABELS] == pytest.approx(list(expected), abs=1e-6)


@pytest.mark.skipif(not importlib.util.find_spec("mediapipe"), reason='needs `pip install -e ".[mediapipe]"`')
def test_the_report_of_an_export_counts_what_mediapipe_itself_gets_right(tmp_path):
    for label in ("ant", "bee"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "photos" / label / f"{number}.png").write_bytes(encode(photo(number), "PNG"))
    inputs = keras.Input((16, 16, 3))
    outputs = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(inputs))
    data = DataOptions(source=SourceOptions(kind="folder", path=str(tmp_path / "photos")))
    network = open_network(keras.Model(inputs, outputs), preprocessing=NUMBERS, labels=("ant", "bee"))
    network = dataclasses.replace(network, data=data)
    report = export(network, "tflite", output=tmp_path / "net.tflite")
    client, itself = report["client"], report["client"]["mediapipe"]
    assert client["geometry"] == "stretch" and client["examples"] == itself["examples"] == 4
    assert itself["accuracy"] == client["accuracy"] and itself["version"]
    assert f"MediaPipe {itself['version']} itself: " in client_line(report)
    (tmp_path / "bad.tflite").write_text("no network")
    refused = run_mediapipe(tmp_path / "bad.tflite", [], np.array([]))
    assert list(refused) == ["error"] and "\n" not in refused["error"]
    client["mediapipe"] = refused
    assert client_line(report).endswith(refused["error"])


def test_the_signature_names_input_and_output(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), "uint8")
    numbers = {"mean": [127.5], "std": [127.5]}
    report = export(net, "tflite", images, tmp_path / "net.tflite", preprocessing=numbers, labels="abc")
    interpreter = Interpreter(report["path"])
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}
    run = interpreter.get_signature_runner("serving_default")
    expected = open_predictor(report["path"]).run(images[:1])
    np.testing.assert_array_equal(run(image=images[:1].astype("float32"))["probabilities"], expected)
    assert [d[0]["name"] for d in (interpreter.get_input_details(), interpreter.get_output_details())] == [
        "image",
        "probabilities",
    ]
