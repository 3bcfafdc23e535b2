"""Folders named by WordNet id are scored over all 1,000 outputs; the classes of a run are matched by name."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasnets.build import create_model
from kerasnets.cli.app import run
from kerasnets.data.class_names import match_classes
from kerasnets.data.errors import BadImages
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import Source, in_memory, labels_of, subset
from kerasnets.evaluation.evaluate import evaluate
from kerasnets.layers.network import Network
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing

# Numbers of imagenet_class_index.json, which keras.applications downloads; both cranes and both maillots are in it.
OUTSIDE = {"n01440764": 0, "n01484850": 2, "n02012849": 134, "n03126707": 517, "n03710721": 639, "n07920052": 967}
OUTSIDE |= {"n03710637": 638}


def colour(number: int) -> tuple[int, int, int]:
    return number // 32, number % 32, 0


def reads_colours() -> Network:
    """A model of 1000 classes that takes an image of `colour(k)` for class k."""
    numbers = np.arange(1000)
    centres = np.stack([numbers // 32, numbers % 32, 0 * numbers]).astype(np.float32)
    inputs = keras.Input((8, 8, 3))
    dense = keras.layers.Dense(1000, "softmax", name="predictions")
    outputs = dense(keras.layers.GlobalAveragePooling2D()(inputs))
    dense.set_weights([2 * centres, -(centres**2).sum(0)])
    return Network(inputs, outputs, preprocessing=Preprocessing(8, 1.0, "bilinear", (0.0,) * 3, (1.0,) * 3))


def write(folder: Path, colours: dict[str, list[int]]) -> Path:
    for name, numbers in colours.items():
        (folder / name).mkdir(parents=True)
        for place, number in enumerate(numbers):
            Image.new("RGB", (8, 8), colour(number)).save(folder / name / f"{place}.png")
    return folder


def opened(folder: Path):
    options = DataOptions(source=SourceOptions(kind="folder", path=str(folder)))
    return open_source(options.source, "all"), options


def test_a_subset_of_imagenet_is_scored_over_all_outputs(tmp_path):
    """One of the wrong answers is a class that has no folder: it counts as wrong."""
    folder = write(tmp_path / "val", {name: [number] * 2 for name, number in OUTSIDE.items()} | {"n01443537": [1, 5]})
    source, options = opened(folder)
    found = evaluate(reads_colours(), source, options=options)
    assert found["examples"] == 16 and found["top1"] == 15 / 16
    confusion = np.array(found["confusion"])
    assert confusion.shape == (1000, 1000) and confusion[1, 5] == 1
    assert {number: confusion[number, number] for number in OUTSIDE.values()} == dict.fromkeys(OUTSIDE.values(), 2)


def test_the_command_scores_in_the_same_way(tmp_path, capsys):
    folder = write(tmp_path / "val", {"n07920052": [967, 967], "n02012849": [134, 517]})
    reads_colours().save(tmp_path / "colours.keras")
    arguments = ["evaluate", str(tmp_path / "colours.keras"), "--data", str(folder), "--split", "all", "--json"]
    for more in ([], ["--flip"]):
        assert run([*arguments, *more]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["examples"], found["top1"]) == (4, 0.75) and found["wrong"][0]["predicted"] == 517


def test_a_model_called_by_name_is_evaluated_on_the_whole_folder(tmp_path, capsys):
    folder = write(tmp_path / "val", {str(digit): [digit] * 5 for digit in range(10)})
    create_model("lenet5_modern").save_weights(tmp_path / "lenet.weights.h5")
    command = ["evaluate", "lenet5_modern", "--weights", str(tmp_path / "lenet.weights.h5"), "--data", str(folder)]
    for more, count in (([], 50), (["--split", "test"], 10)):
        assert run([*command, *more, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["examples"] == count


@pytest.mark.parametrize("wrong", ["tench", "n09999999", "crane"])
def test_folders_of_other_names_between_ids_are_refused(tmp_path, wrong):
    source, options = opened(write(tmp_path / "val", {"n01440764": [0], "n01484850": [2], wrong: [0]}))
    with pytest.raises(ValueError, match=f"has 2 of the 3 classes of 'val'.* Received: class '{wrong}'"):
        evaluate(reads_colours(), source, options=options)


def test_names_alone_do_not_say_which_class(tmp_path):
    """ "crane" is the name of two classes."""
    source, options = opened(write(tmp_path / "val", {"crane": [134], "tench": [0]}))
    with pytest.raises(ValueError, match="has 1000 classes and 'val' has 2. Name the folders by WordNet id"):
        evaluate(reads_colours(), source, options=options)


def test_a_source_keeps_its_numbers_where_nothing_is_known(tmp_path):
    source, _ = opened(write(tmp_path, {"a": [0], "b": [1]}))
    for classes in ((), ("a", "b"), ("x", "y"), ("a", "b", "b")):
        assert match_classes(source, classes) is source


def test_sources_of_every_kind_are_renumbered(tmp_path):
    files, _ = opened(write(tmp_path, {"b": [1, 1], "d": [3]}))
    matched = match_classes(files, ("d", "c", "b"))
    assert matched.classes == ("d", "c", "b") and labels_of(matched).tolist() == [2, 2, 0]
    kept = in_memory(subset(matched, np.array([2, 0])))
    for source in (matched, subset(matched, np.array([0, 1, 2]))):
        assert [int(source.fetch(tf.constant(index, tf.int64))[1]) for index in range(3)] == [2, 2, 0]
    assert [int(kept.fetch(tf.constant(index, tf.int64))[1]) for index in range(2)] == [0, 2]
    triples = tf.data.Dataset.from_tensor_slices(([0, 1], [b"", b""], [1, 0]))
    stream = Source("s", "all", ("b", "d"), 2, True, BadImages(2), str, stream=lambda seed=None: triples)
    labels = [int(label) for _, _, label in match_classes(stream, ("d", "c", "b")).stream()]
    assert labels == [0, 2]
