"""Test-time augmentation, dense evaluation and ensembles against plain NumPy; every example counts once."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from data_files import data_options, encode, photo
from nets import build_twin, fill, twin

from kerasnets.build import build
from kerasnets.data.images.crops import multi_crop_transform, whole_image_transform
from kerasnets.data.images.per_image import normalise
from kerasnets.data.sources import open_source
from kerasnets.evaluation import ensemble
from kerasnets.evaluation.ensemble import Predictions, combine_predictions, predict
from kerasnets.graph.dense import fully_convolutional
from kerasnets.registry import Preprocessing

SIZE = 28
PIXELS = Preprocessing(size=SIZE, crop_fraction=0.875, mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))


def narrow_vgg(**spec):
    """A narrow VGG whose last map is 2x2 for an input of 64x64."""
    variant, arguments = twin("vgg11")
    variant = dataclasses.replace(variant, spec=variant.spec._replace(**spec))
    model = build(variant, **{**arguments, "input_shape": (64, 64, 3)})
    fill(model)
    return model


def test_dense_layers_as_convolutions_slide_over_the_image():
    """1x1 convolutions need no padding: each position of the output is the network on its window of the image."""
    model = narrow_vgg(blocks=((1,), (1,), (1, 1), (1,), (1,)))
    logits = fully_convolutional(model)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 128, 96, 3)).astype(np.float32)
    found = logits(images).numpy()
    assert found.shape == (2, 3, 2, 10)
    softmax = tf.nn.softmax(found).numpy()
    for i in range(3):
        for j in range(2):
            window = images[:, 32 * i : 32 * i + 64, 32 * j : 32 * j + 64]
            np.testing.assert_allclose(softmax[:, i, j], model(window).numpy(), rtol=1e-4, atol=1e-6)


def test_dense_layers_as_convolutions_on_padded_features():
    """The real configuration: the dense layers in NumPy on every 2x2 window of the last feature map."""
    import keras

    model = narrow_vgg()
    images = np.random.default_rng(1).uniform(-1, 1, (1, 96, 128, 3)).astype(np.float32)
    found = fully_convolutional(model)(images).numpy()
    features = keras.Model(model.input, model.get_layer("flatten").input)
    anywhere = keras.models.clone_model(
        features, input_tensors=keras.Input((None, None, 3)), clone_function=lambda layer: layer
    )
    maps = anywhere(images).numpy()
    dense = [model.get_layer(name).get_weights() for name in ("classifier.0", "classifier.3", "predictions")]
    for i in range(2):
        for j in range(3):
            x = maps[0, i : i + 2, j : j + 2].reshape(-1)
            for k, (kernel, bias) in enumerate(dense):
                x = x @ kernel + bias
                x = np.maximum(x, 0) if k < 2 else x
            np.testing.assert_allclose(found[0, i, j], x, rtol=1e-4, atol=1e-4)
    crop = images[:, :64, :64]
    (one,) = fully_convolutional(model)(crop).numpy().reshape(1, -1)
    np.testing.assert_allclose(tf.nn.softmax(one), model(crop)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["alexnet", "nin_cifar", "resnet20_cifar"])
def test_one_place_is_the_network_itself_and_larger_images_are_taken(name):
    """A head that flattens, one that ends in an activation, and one after global pooling."""
    model = build_twin(name)
    fill(model)
    images = np.random.default_rng(2).uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    logits = fully_convolutional(model)
    one = logits(images).numpy().reshape(2, -1)
    np.testing.assert_allclose(tf.nn.softmax(one), model(images), rtol=1e-4, atol=1e-6)
    assert np.ptp(one) > 0.01
    large = np.repeat(images, 2, axis=2)
    assert logits(large).shape == ((2, 1, 3, 10) if name == "alexnet" else (2, 10))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Seven images and one file that is not an image, in two classes."""
    root = tmp_path_factory.mktemp("views")
    for number, label in enumerate(("cat", "dog")):
        (root / "test" / label).mkdir(parents=True)
        for i in range(4):
            contents = encode(photo(10 * number + i, 40 + 3 * i, 56), "PNG")
            (root / "test" / label / f"{i}.png").write_bytes(contents if (number, i) != (0, 2) else b"no image")
    return open_source(data_options(kind="folder", path=str(root)).source, "test"), root


@pytest.fixture(scope="module")
def network():
    model = build_twin("resnet20_cifar", input_shape=(SIZE, SIZE, 3), classes=2)
    fill(model)
    return model


@pytest.mark.parametrize(
    ("settings", "crops"),
    [
        pytest.param({}, 1, marks=pytest.mark.slow, id="centre"),
        pytest.param({"flip": True}, 2, marks=pytest.mark.slow, id="flip"),
        pytest.param({"crops": "10"}, 10, id="10"),
    ],
)
def test_probabilities_are_the_mean_over_crops_and_every_example_counts_once(photos, network, settings, crops):
    source, _ = photos
    options = data_options(kind="folder", path="-", bad_image_limit=0.5)
    augmentation = ensemble.TestTimeAugmentation(**settings)
    found = predict(network, source, PIXELS, options, augmentation, batch_size=3 * crops)
    assert augmentation.images_per_example == crops and found.indices.tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    transform = multi_crop_transform(PIXELS, augmentation.crops, augmentation.flip)
    for row, place in enumerate(found.indices):
        images = transform(tf.io.read_file(source.paths[place]))
        expected = network(normalise(images, PIXELS)).numpy().mean(0)
        np.testing.assert_allclose(found.probabilities[row], expected, atol=1e-6)


def test_whole_images_at_several_scales(photos):
    source, _ = photos
    options = data_options(kind="folder", path="-", bad_image_limit=0.5)
    model = build_twin("vgg11", classes=2)
    fill(model)
    pixels = dataclasses.replace(PIXELS, size=32)
    found = predict(model, source, pixels, options, ensemble.TestTimeAugmentation(dense=(32, 64), flip=True))
    logits = fully_convolutional(model)
    for row, place in enumerate(found.indices):
        strings = whole_image_transform(pixels, (32, 64))(tf.io.read_file(source.paths[place]))
        images = [tf.io.parse_tensor(string, tf.uint8).numpy() for string in strings]
        assert [min(image.shape[:2]) for image in images] == [32, 64]
        parts = []
        for image in images:
            for view in (image, image[:, ::-1]):
                scores = logits(normalise(view[np.newaxis], pixels, full_constants=False)).numpy().mean((1, 2))
                parts.append(tf.nn.softmax(scores)[0])
        np.testing.assert_allclose(found.probabilities[row], np.mean(parts, 0), atol=1e-6)
    assert len(found.indices) == 7
    with pytest.raises(ValueError, match="at least the input size 32"):
        predict(model, source, pixels, options, ensemble.TestTimeAugmentation(dense=(16,)))


def member(*rows):
    probabilities = np.asarray(rows, np.float32)
    return Predictions(np.arange(len(rows)), np.asarray([0, 1, 2])[: len(rows)], probabilities)


def test_mean_and_majority_by_hand():
    """The first example: two of three vote for class 0, the mean prefers class 1."""
    members = [
        member([0.50, 0.49, 0.01], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]),
        member([0.50, 0.49, 0.01], [0.6, 0.4, 0.0], [0.2, 0.7, 0.1]),
        member([0.00, 1.00, 0.00], [0.1, 0.2, 0.7], [0.5, 0.1, 0.4]),
    ]
    mean, majority = combine_predictions(members), combine_predictions(members, "majority")
    assert mean["examples"] == 3 and mean["correct"] == 1 and mean["correct_top5"] == 3
    assert mean["confusion"] == [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
    # One vote for each class in the second and third example: the mean decides between them.
    assert majority["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 0]] and majority["correct"] == 2
    probabilities = np.mean([m.probabilities for m in members], 0, dtype=np.float64)
    assert mean["loss"] == pytest.approx(-np.log(probabilities[[0, 1, 2], [0, 1, 2]]).mean())
    assert majority["loss"] == mean["loss"]
    assert [entry["index"] for entry in majority["wrong"]] == [2]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ensemble.TestTimeAugmentation(crops="12"), "`crops` should be one of 1, 10, alexnet, 144"),
        (
            lambda: ensemble.TestTimeAugmentation(crops="10", flip=True),
            "cannot be combined with `flip`, because they have their mirror images",
        ),
        (lambda: ensemble.TestTimeAugmentation(crops="144", dense=(32,)), "cannot be combined with `dense`"),
        (lambda: combine_predictions([member([1.0, 0.0])], "sum"), "`vote` should be one of mean, majority"),
        (lambda: combine_predictions([member([1.0, 0.0]), member([1.0, 0.0], [1.0, 0.0])]), "need the same examples"),
        (lambda: fully_convolutional(build_twin("lenet5")), "ends in a dense layer"),
    ],
)
def test_what_cannot_be_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_commands(tmp_path, capsys):
    """On the command line, an ensemble of a run with itself scores as the run alone."""
    import json

    from kerasnets.cli.app import run as command
    from kerasnets.recipe.read import parse_recipe
    from kerasnets.training.loop import train

    recipe = {
        "model": {"name": "lenet5_modern"},
        "data": {"source": {"kind": "digits"}},
        "batch_size": 60,
        "epochs": 1,
        "optimizer": {"name": "adamw", "learning_rate": 2e-3},
    }
    run = str(train(parse_recipe(recipe), tmp_path / "run", smoke=True, progress=False).path)
    capsys.readouterr()
    assert command(["evaluate", run, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert command(["evaluate", run, run, "--vote", "majority", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["examples"] == 360 and found["views"] == 1 and len(found["members"]) == 2
    assert found["confusion"] == alone["confusion"] and found["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert found["top1"] == alone["top1"] == found["members"][0]["top1"] == found["correct"] / 360
    assert command(["evaluate", run, "--dense", "a,b"]) == 2
    assert command(["evaluate", run, "--crops", "12"]) == 2
