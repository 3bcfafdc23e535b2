"""What a newcomer types first: version, completion, doctor, the two forms of predict, names with a tag, no network."""

import json
import socket
import subprocess
import sys
import urllib.error

import keras
import numpy as np
import pytest
from PIL import Image

import kerasnets
from kerasnets.cli.app import run
from kerasnets.cli.doctor import advice
from kerasnets.weights import download
from kerasnets.weights.catalogue import all_checkpoints, split_tag


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small trained-like network in a .keras file, and a picture."""
    folder = tmp_path_factory.mktemp("digits")
    kerasnets.create_model("lenet5_modern").save(folder / "net.keras")
    Image.fromarray(np.full((32, 32), 7, "uint8")).save(folder / "photo.png")
    return folder


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == kerasnets.__version__


def test_completion_knows_the_commands():
    environment = {"_KERASNETS_COMPLETE": "complete_bash", "COMP_WORDS": "kerasnets ex", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "kerasnets"], env={"PATH": "", **environment}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["export", "experiment"], done.stderr


def test_doctor_says_what_there_is(capsys):
    assert run(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["packages"]["tensorflow"]["fits"] and facts["cpu"]["cores"] >= 1 and facts["free_disk_bytes"] > 0
    assert facts["backend"] == keras.backend.backend() and set(facts["caches"]) >= {"weights", "hub"}
    assert run(["doctor"]) == 0
    assert "tensorflow-datasets" in capsys.readouterr().out


def test_doctor_advises():
    facts = {
        "packages": {"numpy": {"fits": False, "needed": ">=2"}, "keras": {"fits": True, "needed": ">=3"}},
        "cpu": {"cores": 64, "instructions": ["avx512_bf16"]},
        "gpus": [{"name": "new card", "compute_capability": "12.0"}],
        "compiled_for": ["sm_80", "sm_90"],
        "free_disk_bytes": 1e12,
    }
    found = advice(facts)
    assert len(found) == 2 and "'numpy>=2'" in found[0] and "new card" in found[1]
    assert len(advice(facts | {"compiled_for": ["sm_80", "compute_90"]})) == 1
    assert any("bfloat16" in line for line in advice(facts | {"gpus": [], "cpu": {"cores": 2, "instructions": []}}))


@pytest.mark.parametrize("form", [["net.keras", "photo.png"], ["photo.png", "--model", "net.keras"]])
def test_both_forms_of_predict(form, digits, monkeypatch, capsys):
    monkeypatch.chdir(digits)
    assert run(["predict", *form, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["image"] == "photo.png"


@pytest.mark.parametrize(("words", "hint"), [(["photo.png"], "--model NAME"), (["net.keras"], "photo.jpg")])
def test_predict_says_what_is_missing(words, hint, digits, monkeypatch, capsys):
    monkeypatch.chdir(digits)
    assert run(["predict", *words]) == 2
    assert hint in capsys.readouterr().err


def test_a_name_with_a_tag_is_a_network_and_its_weights(tmp_path, monkeypatch):
    """The downloaded file is one of ours."""
    source, asked = kerasnets.create_model("mobilenet_v1", input_shape=(64, 64, 3)), []
    source.save_weights(tmp_path / "net.weights.h5")
    monkeypatch.setattr(
        "kerasnets.build.fetch", lambda checkpoint: asked.append(checkpoint) or tmp_path / "net.weights.h5"
    )
    tag = kerasnets.model_info("mobilenet_v1").checkpoints[0].tag
    loaded = kerasnets.create_model(f"mobilenet_v1.{tag}", input_shape=(64, 64, 3))
    assert [checkpoint.tag for checkpoint in asked] == [tag]
    for ours, theirs in zip(loaded.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_public_checkpoint_has_a_name_with_a_tag():
    names = kerasnets.list_pretrained()
    assert len(names) == len(set(names)) == sum(map(len, all_checkpoints().values()))
    assert all(split_tag(name) == tuple(name.split(".", 1)) for name in names)
    assert kerasnets.list_pretrained("resnet50_v1_5.a1*") == ["resnet50_v1_5.a1_in1k", "resnet50_v1_5.a1h_in1k"]
    assert all(name.startswith("vgg") for name in kerasnets.list_pretrained(family="vgg"))
    assert [c.tag for c in kerasnets.model_info("resnet50_v1_5.a1_in1k").checkpoints] == ["a1_in1k"]


@pytest.mark.parametrize(
    ("name", "weights", "hint"),
    [
        ("resnet50_v1_5.a1_in", None, "Did you mean 'a1_in1k'"),
        ("lenet5.first", None, "Tags of 'lenet5': none"),
        ("resnet50_v1_5.a1_in1k", "a2_in1k", "already says its weights"),
        ("resnet51.a1", None, "Did you mean"),
    ],
)
def test_a_wrong_tag_is_one_line(name, weights, hint):
    with pytest.raises(ValueError, match=hint):
        kerasnets.create_model(name, weights=weights)


def test_list_shows_recipes_and_public_weights(capsys):
    assert run(["list", "--recipes", "lenet5_d*"]) == 0
    assert "LeNet-5 on scikit-learn's 1,797 handwritten digits" in capsys.readouterr().out
    assert run(["list", "--pretrained", "vgg16*", "--json"]) == 0
    assert all(name.startswith("vgg16") for name in json.loads(capsys.readouterr().out))
    assert run(["list", "--recipes", "--family", "vgg"]) == 2


@pytest.mark.parametrize("reason", [socket.gaierror(-2, "Name or service not known"), ConnectionRefusedError()])
def test_without_a_network_nothing_is_tried_twice(reason, tmp_path, monkeypatch):
    tries = []

    def refuse(*_):
        tries.append(1)
        raise urllib.error.URLError(reason)

    monkeypatch.setattr(download, "resume_download", refuse)
    with pytest.raises(RuntimeError, match="KERASNETS_MIRROR"):
        download.download("http://example.invalid/net.h5", tmp_path / "net.h5.part", tmp_path / "net.h5")
    assert len(tries) == 1


def test_without_a_network_there_is_one_line(tmp_path):
    """A real process, the hub's own client, and an address at which nobody listens."""
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "KERASNETS_HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-m", "kerasnets", "predict", "a.jpg", "--model", "efficientnet_lite0.in1k"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "KERASNETS_MIRROR" in done.stderr
