"""`kerasnets.evaluate` opens what `open_network` opens, and agrees with the command."""

import json

import numpy as np
import pytest
from PIL import Image

import kerasnets
from kerasnets.cli.app import run


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Five grey photos for each of ten classes, and a network in three forms."""
    folder = tmp_path_factory.mktemp("evaluate")
    for digit in range(10):
        (folder / "val" / str(digit)).mkdir(parents=True)
        for number in range(5):
            noise = np.random.default_rng(5 * digit + number).integers(0, 256, (32, 32), "uint8")
            Image.fromarray(noise).save(folder / "val" / str(digit) / f"{number}.png")
    network = kerasnets.create_model("lenet5_modern")
    network.save_weights(folder / "lenet.weights.h5")
    network.save(folder / "lenet.keras")
    return folder


def test_names_and_files_are_evaluated_as_by_the_command(here, capsys):
    weights, file, images = here / "lenet.weights.h5", here / "lenet.keras", here / "val"
    assert run(["evaluate", "lenet5_modern", "--weights", str(weights), "--data", str(images), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert expected["examples"] == 50
    assert kerasnets.evaluate("lenet5_modern", images, weights=weights) == expected
    assert kerasnets.evaluate(file, images, split="all") == expected
    assert kerasnets.evaluate(kerasnets.load_model(file), str(images), split="all") == expected
    assert kerasnets.evaluate(str(file), str(images))["examples"] == 10


def test_what_is_missing_is_one_line(here):
    for target, source, weights in (("lenet5_modern", here / "val", None), (here / "lenet.keras", None, None)):
        with pytest.raises(ValueError, match="needs labelled images") as raised:
            kerasnets.evaluate(target, source, weights=weights)
        assert "\n" not in str(raised.value) and "source=" in str(raised.value)
    with pytest.raises(ValueError, match="Did you mean 'lenet5_modern'"):
        kerasnets.evaluate("lenet5_modrn", here / "val")
    with pytest.raises(FileNotFoundError, match="source should be digits"):
        kerasnets.evaluate("lenet5_modern", here / "nowhere", weights=here / "lenet.weights.h5")
