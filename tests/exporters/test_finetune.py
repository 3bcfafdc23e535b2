"""`kerasnets finetune`: from photos to a checked file, and one line for photos that cannot be trained on."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerasnets
from kerasnets.cli.app import run
from kerasnets.exporters.finetune import finetune, photos_of
from kerasnets.exporters.predict import open_predictor


def write_photos(folder: Path, **counts: int) -> Path:
    """Writes photos of one colour a class."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise = np.random.default_rng(i).integers(0, 60, (40, 52, 3), "uint8")
            noise[..., number % 3] += 180
            Image.fromarray(noise).save(folder / name / f"{i:02}.jpg", quality=95)
    return folder


def test_one_command_from_photos_to_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "berries", red=20, green=20)
    kerasnets.create_model("resnet20_cifar").save_weights("start.weights.h5")
    words = ["finetune", "berries", "--model", "resnet20_cifar", "--weights", "start.weights.h5", "--to", "tflite"]
    assert run([*words, "--set", "epochs=2", "--set", "evaluation.every_epochs=2"]) == 0
    shown = capsys.readouterr()
    announced = next(line for line in shown.err.splitlines() if line.startswith("training by the recipe: "))
    command = shlex.split(announced.partition(": ")[2])
    assert command[:3] == ["kerasnets", "train", "finetune_photos"] and "batch_size=32" in command
    assert shown.out.splitlines()[-1].endswith(
        "kerasnets predict runs/berries/berries.tflite photo.jpg; on a phone: docs/phone.md"
    )
    predictor = open_predictor("runs/berries/berries.tflite")
    assert predictor.labels == ("green", "red")
    evaluation = json.loads(Path("runs/berries/evaluation.json").read_text())
    (report,) = json.loads(Path("runs/berries/exports.json").read_text())
    assert evaluation["examples"] == report["labelled"] == 8 and report["examples"] == 40
    # The run is evaluated as the client on a phone looks at a photo.
    assert report["client"]["examples"] == 8 and report["client"]["accuracy"] == report["accuracy"]
    assert Path("runs/berries/report.html").is_file()
    capsys.readouterr()
    assert run(words) == 2  # The older run stays.
    assert "holds a finished run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "two classes at least. Received: .* with 0: none"),
        ({"ants": 9}, "two classes at least. Received: .* with 1: ants"),
        ({"ants": 9, "bees": 4, "wasps": 0}, "at least 5 photos .* Received: bees with 4, wasps with 0"),
    ],
)
def test_photos_that_cannot_be_trained_on_are_one_line(counts, words, tmp_path):
    (tmp_path / "photos").mkdir()
    write_photos(tmp_path / "photos", **counts)
    with pytest.raises(ValueError, match=words) as error:
        finetune(tmp_path / "photos", output=tmp_path / "run")
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_a_folder_that_is_not_there_and_a_form_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        finetune(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Did you mean 'tflite-int8'"):
        finetune(tmp_path, to="tflite-int-8")


def test_splits_of_a_folder_are_kept(tmp_path, monkeypatch):
    """The held-out photos are those of `val`, and few photos get more epochs."""
    for split, count in (("train", 6), ("val", 1)):
        write_photos(tmp_path / split, ants=count, bees=count)
    told = []
    monkeypatch.setitem(finetune.__globals__, "_train_and_export", lambda changes, *_: {"changes": changes})
    changes = finetune(tmp_path, announce=told.append)["changes"]
    assert 'data.evaluation_split="val"' in changes and {"batch_size=12", "epochs=40"} <= set(changes)
    assert photos_of(tmp_path / "train") == {"ants": 6, "bees": 6}
    assert "data.evaluation_split" in told[0]
