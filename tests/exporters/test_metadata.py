"""Labels and metadata beside an exported file: they belong to it, overwrite nothing else and are written together."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import keras
import pytest
from nets import fill

from kerasnets.exporters.export import export
from kerasnets.exporters.files import move_into_place, read_metadata, write_metadata
from kerasnets.exporters.open_network import LoadedNetwork
from kerasnets.exporters.predict import open_predictor, predict
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing

GREY = Preprocessing(size=8, crop_fraction=1.0, mean=(78.0,), std=(96.0,))


@pytest.fixture(scope="module")
def digits() -> LoadedNetwork:
    """A network with filled weights, not trained; its files can be compared with it all the same."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="predictions")(x), name="small")
    fill(model)
    return LoadedNetwork("small", model, GREY, tuple("abcdefghij"), DataOptions(source=SourceOptions(kind="digits")))


def write(target: LoadedNetwork, path, form: str = "tflite") -> Path:
    return Path(export(target, form, output=path, examples=4)["path"])


@pytest.fixture(scope="module")
def sets(digits, tmp_path_factory):
    """Form -> (the file's name, the folder of an older export, that of a newer one with other labels)."""
    found = {}
    for form, name in (("tflite", "net.tflite"), ("saved-model", "net")):
        older, newer = (tmp_path_factory.mktemp(form) / which for which in ("older", "newer"))
        write(digits, older / name, form)
        shutil.copytree(older, newer)
        write_metadata(newer / name, form, GREY, tuple("klmnopqrst"), "small")
        found[form] = name, older, newer
    return found


def description(path: Path) -> Path:
    return path / "assets.extra" / "network.json" if path.is_dir() else path.with_name(f"{path.name}.json")


def names(folder) -> set[str]:
    return {file.name for file in Path(folder).iterdir()}


def test_an_unrelated_file_of_a_project_stays(digits, tmp_path):
    others = {"package.json": '{"name": "app"}', "package.labels.txt": "fragile\n"}
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    path = write(digits, tmp_path / "package.tflite")
    assert {name: (tmp_path / name).read_text() for name in others} == others
    assert open_predictor(path).labels == digits.labels


@pytest.mark.parametrize("name", ["net.tflite.json", "net.tflite.labels.txt"])
def test_a_file_in_the_way_is_refused_before_the_work(name, digits, tmp_path):
    (tmp_path / name).write_text('{"name": "app"}')
    with pytest.raises(ValueError, match=f"{name}.* does not belong to an exported network. Received: output="):
        write(digits, tmp_path / "net.tflite")
    assert names(tmp_path) == {name} and (tmp_path / name).read_text() == '{"name": "app"}'


def test_an_export_replaces_an_older_one(digits, tmp_path):
    path = write(digits, tmp_path / "net.tflite")
    write(dataclasses.replace(digits, labels=tuple("klmnopqrst")), path)
    assert open_predictor(path).labels == tuple("klmnopqrst")
    assert names(tmp_path) == {"net.tflite", "net.tflite.json", "net.tflite.labels.txt"}


def test_the_description_carries_the_hash_of_its_file(digits, tmp_path):
    path = write(digits, tmp_path / "net.tflite")
    what = json.loads(description(path).read_text())
    assert what["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("form", ["tflite", "saved-model"])
def test_a_file_of_another_description_is_refused(form, sets, tmp_path):
    """As after a process was killed between two renames, or a file was copied without the others."""
    name, older, _ = sets[form]
    path = shutil.copytree(older, tmp_path / "here") / name
    changed = path if form == "tflite" else path / "variables" / "variables.data-00000-of-00001"
    content = bytearray(changed.read_bytes())
    content[-9] ^= 1
    changed.write_bytes(content)
    with pytest.raises(ValueError, match="not the file that .*json describes. Export it again") as error:
        predict(path, [])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["tflite", "saved-model"])
@pytest.mark.parametrize("count", [3, 12])
def test_labels_of_another_network_are_refused_in_one_line(count, form, sets, tmp_path):
    name, older, _ = sets[form]
    path = shutil.copytree(older, tmp_path / "here") / name
    what = json.loads(description(path).read_text())
    description(path).write_text(json.dumps(what | {"labels": list(map(str, range(count)))}))
    with pytest.raises(ValueError, match=f"{count} labels and the network 10 classes"):
        predict(path, [])


def test_a_network_is_not_exported_with_the_labels_of_another(digits, tmp_path):
    with pytest.raises(ValueError, match="9 labels and the network 10 classes"):
        write(dataclasses.replace(digits, labels=digits.labels[1:]), tmp_path / "net.tflite")
    assert not names(tmp_path)


@pytest.mark.parametrize("form", ["tflite", "saved-model"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("empty", [False, True])
def test_an_interruption_leaves_the_older_set_as_it_was(empty, step, error, form, sets, tmp_path, monkeypatch):
    name, older, newer = sets[form]
    here, draft, spare, calls, replace = tmp_path / "here", tmp_path / "draft", tmp_path / "spare", [], os.replace
    here.mkdir() if empty else shutil.copytree(older, here)
    shutil.copytree(newer, draft)
    spare.mkdir()
    before = {file.relative_to(here): file.read_bytes() for file in here.rglob("*") if file.is_file()}
    moves = 3 if form == "tflite" else 2 - empty

    def stumble(source, goal):
        calls.append(goal)
        if len(calls) == step + 1:
            raise error
        return replace(source, goal)

    monkeypatch.setattr(os, "replace", stumble)
    if step >= moves:
        move_into_place(draft / name, here / name, spare)
        assert read_metadata(here / name)[1] == tuple("klmnopqrst")
        return
    with pytest.raises(error):
        move_into_place(draft / name, here / name, spare)
    assert {file.relative_to(here): file.read_bytes() for file in here.rglob("*") if file.is_file()} == before
