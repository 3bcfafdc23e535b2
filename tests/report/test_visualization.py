"""`kerasnets visualize`: pictures of maps and of units, from real files, and what is said in words instead."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kerasnets
from kerasnets.cli.app import run
from kerasnets.explain import METHODS
from kerasnets.report.unit_pictures import visualize_evolution, visualize_units
from kerasnets.report.visualization import visualize
from kerasnets.runs.checkpoints import weights_by_epoch


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A file of a small network for 32x32 pictures, and three of them, one not readable."""
    folder = tmp_path_factory.mktemp("network")
    keras.utils.set_random_seed(1)  # how many maps are active in some picture depends on the weights
    model = kerasnets.create_model("lenet5_modern", classes=4)
    model.save(folder / "net.keras")
    for name, seed in (("one", 1), ("two", 2)):
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_pictures_and_page(network, tmp_path):
    rows = visualize(network / "net.keras", [network], methods=["grad_cam", "occlusion"], output=tmp_path / "new")
    assert [row["image"].rpartition("/")[2] for row in rows] == ["broken.png", "one.png", "two.png"]
    assert "error" in rows[0] and "\n" not in rows[0]["error"]
    for row in rows[1:]:
        assert Image.open(row["picture"]).width > 800
        assert row["target"] == row["predictions"][0]["index"] and len(row["predictions"]) == 4
        assert [m["method"] for m in row["maps"]] == ["grad_cam", "occlusion"]
        assert " at " in row["maps"][0]["title"] and "window 8, stride 4" in row["maps"][1]["title"]
    page = (tmp_path / "new" / "index.html").read_text()
    assert page.count("<img") == 2 and "002_one.png" in page
    for row in rows[1:]:
        assert all(f">{one['title']}</td>" in page for one in row["maps"]) and f": {row['label']}</h2>" in page


def test_every_method_by_its_name(network, tmp_path):
    found = visualize(network / "net.keras", [network / "one.png"], methods=METHODS, classes=2, output=tmp_path)
    assert len(found[0]["maps"]) == len(METHODS) and found[0]["target"] == 2


def test_maps_that_say_nothing_are_said_in_words(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1, activation="relu", name="maps")])
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(2, name="predictions"))
    for variable in model.weights:
        variable.assign(-np.ones(variable.shape))
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    model.preprocessing = kerasnets.model_info("resnet18").preprocessing
    maps = visualize(model, [tmp_path / "white.png"], methods=["grad_cam"], output=tmp_path / "out")[0]["maps"]
    assert maps[0]["note"] == "The map is empty: nothing here speaks for the class."


def test_a_model_without_convolutions_is_refused_in_one_line(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    model.preprocessing = kerasnets.model_info("resnet18").preprocessing
    with pytest.raises(ValueError, match="which has none") as caught:
        visualize(model, [tmp_path / "white.png"], output=tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_batch_too_large_for_memory_is_one_line(network, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise MemoryError("A batch does not fit into memory; give a smaller `batch_size`. Received: batch_size=32")

    monkeypatch.setattr("kerasnets.report.visualization.all_logits", full)
    assert run(["visualize", str(network / "net.keras"), str(network / "one.png"), "-o", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "smaller `batch_size`" in error and error.count("\n") == 1


def test_units(network, tmp_path):
    layer = "c1"
    found = visualize_units(network / "net.keras", layer, data=network, maps=3, output=tmp_path)
    assert len(found["maps"]) == 3 and Image.open(found["picture"]).width > 500
    assert visualize_units(network / "net.keras", layer, data=network, maps=[0, 2], output=tmp_path)["maps"] == [0, 2]
    with pytest.raises(ValueError, match="a folder, or batches. Received: data=None"):
        visualize_units(network / "net.keras", layer)


@pytest.fixture(scope="module")
def run_with_epochs(tmp_path_factory):
    """A run of three epochs that keeps the weights of the first and the third."""
    changes = ["epochs=3", "steps_per_epoch=2", "checkpoint.keep_epochs=[1, 3]", "evaluation.max_batches=1"]
    folder = tmp_path_factory.mktemp("runs") / "run"
    return kerasnets.train("lenet5_digits", folder, overrides=changes, progress=False).path


def test_kept_epochs_are_those_of_the_recipe(run_with_epochs):
    found = weights_by_epoch(run_with_epochs / "checkpoints")
    model = keras.saving.load_model(run_with_epochs / "model.keras", compile=False)
    assert list(found) == [1, 3] and set(found[1]) == {weight.path for weight in model.weights}
    assert all(np.array_equal(weight, found[3][weight.path]) for weight in model.weights)
    assert not all(np.array_equal(weight, found[1][weight.path]) for weight in model.weights)


def test_evolution_of_a_run(run_with_epochs, network, tmp_path, capsys):
    found = visualize_evolution(run_with_epochs, "c1", maps=[0, 3], output=tmp_path)
    assert found["epochs"] == [1, 3] and found["maps"] == [0, 3]
    assert Image.open(found["picture"]).height > Image.open(found["picture"]).width
    output = ["-o", str(tmp_path / "not")]
    assert run(["visualize", str(run_with_epochs), "--evolution", "c1", "--maps", "1", "-o", str(tmp_path)]) == 0
    assert run(["visualize", str(run_with_epochs), "--evolution", "c9", *output]) == 2
    assert "no such layer" in capsys.readouterr().err
    assert run(["visualize", str(network / "net.keras"), "--evolution", "c1", *output]) == 2
    assert "keep_epochs" in capsys.readouterr().err
    assert not (tmp_path / "not").exists()


def test_command(network, tmp_path, capsys):
    net, one = str(network / "net.keras"), str(network / "one.png")
    assert run(["visualize", net, one, "-m", "gradient", "-o", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["maps"][0]["method"] == "gradient"
    assert run(["visualize", net, "--units", "c1", "--data", str(network), "--maps", "2", "-o", str(tmp_path)]) == 0
    assert "index.html" in capsys.readouterr().out


def test_images_that_cannot_be_read(network, tmp_path, capsys):
    net, output = str(network / "net.keras"), tmp_path / "nothing"
    assert run(["visualize", net, str(network / "broken.png"), str(tmp_path / "no.png"), "-o", str(output)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "cannot be decoded" in lines[0] and "no such image file" in lines[1]
    (tmp_path / "empty").mkdir()
    for words in ([str(tmp_path / "empty")], ["--units", "c1", "--data", str(tmp_path / "empty")]):
        assert run(["visualize", net, *words, "-o", str(output)]) == 2
        error = capsys.readouterr().err
        assert "at least one image file" in error and error.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Did you mean 'grad_cam'", ["-m", "gradcam"]),
        ("has no such layer", ["--layer", "conv9"]),
        ("class from 0 to 3", ["--class", "4"]),
        ("either image files, or --units LAYER, or --evolution LAYER. Received: images and --units", ["--units", "c1"]),
    ],
)
def test_bad_requests_are_one_line(network, tmp_path, capsys, said, words):
    output = tmp_path / "nothing"
    code = run(["visualize", str(network / "net.keras"), str(network / "one.png"), *words, "-o", str(output)])
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1 and not output.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--evolution", "c1", "--weights", "a.h5"], "`--weights` does not go with --evolution"),
        (["--units", "c1", "--class", "1"], "`--class` does not go with --units"),
        (["one.png", "--data", "photos"], "`--data` does not go with images"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(capsys, words, said):
    assert run(["visualize", "net.keras", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
