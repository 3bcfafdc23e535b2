"""Preprocessing belongs to the weights: a model carries it under any name, in files, runs, evaluation and export."""

import dataclasses
import json
import warnings

import fresh
import keras
import numpy as np
import pytest
from data_files import data_options, encode, photo, write_folder
from golden_files import golden_weights
from minimal_recipe import MINIMAL
from nets import fill, twin
from safetensors.numpy import save_file

from kerasnets.build import build, create_model
from kerasnets.cli.app import run as run_command
from kerasnets.data.images.per_image import normalise
from kerasnets.data.sources import open_source
from kerasnets.evaluation.evaluate import evaluate
from kerasnets.exporters.open_network import open_network
from kerasnets.exporters.predict import open_predictor
from kerasnets.graph.features import features
from kerasnets.graph.fold import fold_batch_norm
from kerasnets.recipe.read import parse_recipe
from kerasnets.runs.folder import open_run
from kerasnets.runs.log import read_log
from kerasnets.training.loop import train
from kerasnets.training.prepare import make_job
from kerasnets.weights.catalogue import checkpoints
from kerasnets.weights.load import load_weights
from kerasnets.weights.preprocess import preprocess_input, preprocessing_of

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
CAFFE = keras.applications.imagenet_utils.preprocess_input(IMAGES.astype("float32"), mode="caffe")
TORCH = keras.applications.imagenet_utils.preprocess_input(IMAGES.astype("float32"), mode="torch")


def small_vgg(weights=None, name=None, **changes):
    variant, arguments = twin("vgg16")
    return build(variant, **arguments | {"weights": weights, "name": name} | changes)


def checkpoint_file(tmp_path, tag: str):
    """A file of the tiny VGG-16 that is called as a public checkpoint of VGG-16."""
    file = next(item.file for item in checkpoints("vgg16") if item.tag == tag)
    net = small_vgg()
    fill(net)
    net.save_weights(tmp_path / "net.weights.h5")
    return (tmp_path / "net.weights.h5").rename(tmp_path / file)


@pytest.fixture
def caffe_vgg(tmp_path):
    """A tiny VGG-16 of another name with weights that want Caffe's BGR."""
    return small_vgg(checkpoint_file(tmp_path, "keras"), name="my_net")


@pytest.mark.parametrize("name", [None, "my_net"])
@pytest.mark.parametrize("how", ["built", "loaded"])
def test_a_model_has_the_numbers_of_its_checkpoint(tmp_path, name, how):
    file = checkpoint_file(tmp_path, "keras")
    model = small_vgg(file, name) if how == "built" else small_vgg(name=name)
    if how == "loaded":
        np.testing.assert_allclose(preprocess_input(IMAGES, model), TORCH, atol=1e-5)
        load_weights(model, file)
    np.testing.assert_allclose(preprocess_input(IMAGES, model), CAFFE, atol=1e-4)
    assert preprocessing_of(model).channel_order == "bgr" and preprocessing_of(model).size == 32


def test_a_saved_model_keeps_them_in_a_fresh_process(caffe_vgg, tmp_path):
    caffe_vgg.save(tmp_path / "any.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    program = """import keras, numpy, sys, kerasnets
from kerasnets.weights.preprocess import preprocess_input
model, images = keras.models.load_model(sys.argv[1]), numpy.load(sys.argv[2])
numpy.save(sys.argv[2], preprocess_input(images, model))"""
    done = fresh.run("-c", program, tmp_path / "any.keras", tmp_path / "images.npy")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), CAFFE, atol=1e-4)


def test_a_name_works_in_a_fresh_process():
    program = "import kerasnets; kerasnets.preprocess_input([[[[9, 9, 9]]]], 'vgg16', 'keras')"
    done = fresh.run("-c", program)
    assert done.returncode == 0, done.stderr


def test_what_is_made_of_a_model_keeps_them(caffe_vgg):
    nested = keras.Sequential([keras.Input((32, 32, 3)), caffe_vgg, keras.layers.Dense(2)])
    copy = type(caffe_vgg).from_config(caffe_vgg.get_config())
    for model in (nested, copy, features(caffe_vgg), fold_batch_norm(caffe_vgg)):
        np.testing.assert_allclose(preprocess_input(IMAGES, model), CAFFE, atol=1e-4)


def test_a_model_that_carries_none():
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Activation("linear")(inputs)  # Keras 3.13 refuses a model without a layer
    with pytest.raises(ValueError, match="set `model.preprocessing`. Received: a model called 'strange'"):
        preprocess_input(IMAGES, keras.Model(inputs, outputs, name="strange"))
    older = keras.Model(inputs, outputs, name="vgg16")
    with pytest.warns(UserWarning, match="'vgg16' does not say how its images are prepared; assuming RGB"):
        np.testing.assert_allclose(preprocess_input(IMAGES, older), TORCH, atol=1e-5)


def test_weights_of_an_unknown_name_say_which_numbers_are_assumed(caffe_vgg, tmp_path):
    caffe_vgg.save_weights(tmp_path / "mine.weights.h5")
    with pytest.warns(UserWarning) as caught:
        model = small_vgg(tmp_path / "mine.weights.h5")
    (message,) = [str(w.message) for w in caught]
    assert message.startswith("mine.weights.h5 does not say") and "\n" not in message
    assert "assuming RGB, mean [123.675, 116.28, 103.53], std [58.395, 57.12, 57.375]" in message
    np.testing.assert_allclose(preprocess_input(IMAGES, model), TORCH, atol=1e-5)


def test_a_keras_file_brings_its_numbers(caffe_vgg, tmp_path):
    caffe_vgg.save(tmp_path / "mine.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        variant, arguments = twin("vgg16")
        built = build(
            variant, **{k: v for k, v in arguments.items() if k != "input_shape"}, weights=tmp_path / "mine.keras"
        )
        loaded = small_vgg()
        load_weights(loaded, tmp_path / "mine.keras")
    assert preprocessing_of(built) == preprocessing_of(loaded) == caffe_vgg.preprocessing and built.input_shape[1] == 32


@pytest.mark.parametrize("how", ["built", "loaded"])
def test_a_model_that_normalises_pixels_takes_the_numbers_too(tmp_path, how):
    file = checkpoint_file(tmp_path, "keras")
    outside = small_vgg(file).predict(CAFFE, verbose=0)
    inside = small_vgg(file if how == "built" else None, include_preprocessing=True)
    if how == "loaded":
        inside.predict(IMAGES, verbose=0)  # traced with the older numbers
        load_weights(inside, file)
    np.testing.assert_allclose(inside.predict(preprocess_input(IMAGES, inside), verbose=0), outside, atol=1e-6)


def test_evaluation_prediction_and_export_read_them(caffe_vgg, tmp_path):
    options = data_options(kind="folder", path=str(write_folder(tmp_path / "data")))
    source = open_source(options.source, "train")
    model = small_vgg(name="my_net", classes=2)
    fill(model)
    model.preprocessing = numbers = caffe_vgg.preprocessing
    assert evaluate(model, source, options=options) == evaluate(model, source, numbers, options)
    model.save(tmp_path / "my_net.keras")
    image = photo(3, 32, 32)
    expected = np.asarray(model(normalise(image[None], numbers)))
    for target in (model, tmp_path / "my_net.keras"):
        opened = open_network(target)  # what `export` and `predict` open
        assert (opened.name, opened.preprocessing) == ("my_net", numbers)
        np.testing.assert_allclose(open_predictor(target).run(image[None]), expected, atol=1e-5)


def test_evaluation_leaves_pixels_to_a_model_that_normalises_them(tmp_path):
    options = data_options(kind="folder", path=str(write_folder(tmp_path / "data")))
    source = open_source(options.source, "train")
    outside, inside = small_vgg(classes=2), small_vgg(classes=2, include_preprocessing=True)
    fill(outside)
    inside.set_weights(outside.get_weights())
    scores = [evaluate(model, source, options=options) for model in (outside, inside)]
    assert scores[0]["confusion"] == scores[1]["confusion"]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-4)


def recipe(name: str, spec=None, **arguments):
    model = {"name": name, "arguments": arguments, "spec": spec or {}}
    data = {"source": {"kind": "digits"}, "size": 32}
    short = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 8, "evaluation": {"max_batches": 1}}
    return parse_recipe({**MINIMAL, "model": model, "data": data, **short})


def test_a_run_from_scratch_keeps_the_networks_own_numbers(tmp_path):
    """And not those of the first public checkpoint, which for ResNet-50 are Caffe's."""
    run = train(recipe("resnet50", {"depths": [1, 1, 1, 1]}), tmp_path / "run", progress=False)
    stored = keras.models.load_model(run.path / "model.keras")
    for model in (run.model, open_run(run.path).model, stored):
        np.testing.assert_allclose(preprocess_input(IMAGES, model), TORCH, atol=1e-5)
        assert preprocessing_of(model) == run.preprocessing == preprocessing_of(open_network(run.path).model)
    assert preprocessing_of("resnet50", "imagenet").channel_order == "bgr"


def test_a_run_from_a_file_has_its_numbers_or_says_what_it_assumes(caffe_vgg, tmp_path):
    spec = {"filters": [8, 8, 16, 16, 16], "hidden": 32}
    caffe_vgg.save(tmp_path / "mine.keras")
    known = train(recipe("vgg16", spec, weights=str(tmp_path / "mine.keras")), tmp_path / "known", progress=False)
    assert known.model.preprocessing == known.preprocessing == caffe_vgg.preprocessing
    caffe_vgg.save_weights(tmp_path / "mine.weights.h5")
    unknown = recipe("vgg16", spec, weights=str(tmp_path / "mine.weights.h5"))
    run = train(unknown, tmp_path / "unknown", progress=False)
    said = [[e["message"] for e in read_log(path) if e["event"] == "warning"] for path in (known.path, run.path)]
    assert not any("assuming" in message for message in said[0])
    assert any(message.startswith("mine.weights.h5 does not say") for message in said[1])
    np.testing.assert_allclose(preprocess_input(IMAGES, run.model), TORCH, atol=1e-5)


def test_a_recipe_takes_the_arguments_of_its_checkpoint(tmp_path):
    job = make_job(recipe("mobilenet_v1", weights=str(alpha_file(tmp_path))), tmp_path / "run")
    assert job.trainer.network.count_params() == create_model("mobilenet_v1", alpha=0.25, classes=10).count_params()


def alpha_file(folder):
    """MobileNet of a quarter of the width, called as Keras calls its file."""
    net = create_model("mobilenet_v1", alpha=0.25)
    fill(net)
    net.save_weights(folder / "net.weights.h5")
    return (folder / "net.weights.h5").rename(folder / "mobilenet_2_5_224_tf.h5")


def test_a_narrow_mobilenet_is_opened_by_its_tag(tmp_path, monkeypatch, capsys):
    file, image = alpha_file(tmp_path), tmp_path / "image.png"
    monkeypatch.setattr("kerasnets.build.fetch", lambda checkpoint: tmp_path / checkpoint.file)
    model = create_model("mobilenet_v1", weights="keras_0.25")
    assert model.count_params() == keras.applications.MobileNet(alpha=0.25, weights=None).count_params()
    image.write_bytes(encode(photo(1), "PNG"))
    answers = []
    for weights in ("keras_0.25", str(file)):
        assert run_command(["predict", "mobilenet_v1", str(image), "--weights", weights, "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1] and len(answers[0][0]["predictions"]) == 5
    for alpha in (1.0, 0.5):
        with pytest.raises(ValueError, match=f"Received: weights='keras_0.25', {{'alpha': {alpha}}}"):
            create_model("mobilenet_v1", weights="keras_0.25", alpha=alpha)


def test_a_checkpoint_is_evaluated_at_its_own_size_and_crop(tmp_path, monkeypatch):
    """timm's `resnet18.a3_in1k`, trained and measured at 160 pixels of the central 0.95."""
    monkeypatch.setattr("kerasnets.build.fetch", lambda checkpoint: tmp_path / checkpoint.file)
    save_file(golden_weights("torchvision__resnet18"), tmp_path / "resnet18.a3_in1k.safetensors")
    opened = open_network("resnet18", "a3_in1k")
    assert opened.model.input_shape == (None, 160, 160, 3)
    assert (opened.preprocessing.size, opened.preprocessing.crop_fraction) == (160, 0.95)
    assert opened.model.preprocessing == opened.preprocessing == preprocessing_of("resnet18", "a3_in1k")
    larger = create_model("resnet18", weights="a3_in1k", input_shape=(224, 224, 3))
    assert preprocessing_of(larger) == dataclasses.replace(opened.preprocessing, size=224)


def test_a_warning_is_one_line_on_the_command_line(tmp_path, capsys):
    (tmp_path / "image.png").write_bytes(encode(photo(1), "PNG"))
    command = ["predict", "mobilenet_v3_small", str(tmp_path / "image.png"), "--weights"]
    create_model("mobilenet_v3_small").save_weights(tmp_path / "mine.weights.h5")
    assert run_command([*command, str(tmp_path / "mine.weights.h5")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "does not say" in line]
    assert line.startswith("warning: mine.weights.h5 does not say how its images are prepared; assuming RGB")
