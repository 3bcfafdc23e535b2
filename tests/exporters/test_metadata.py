"""Labels and metadata of an exported file: they belong to it, and are written together with it or not at all."""

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from nets import fill

from kerasnets.exporters.export import export
from kerasnets.exporters.files import describe, move_into_place, read_metadata, weights_sha256, write_metadata
from kerasnets.exporters.open_network import LoadedNetwork
from kerasnets.exporters.predict import open_predictor, predict
from kerasnets.exporters.tflite_metadata import model_part, read_inside, with_metadata
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing

GREY = Preprocessing(size=8, crop_fraction=1.0, mean=(78.0,), std=(96.0,))


@pytest.fixture(scope="module")
def digits() -> LoadedNetwork:
    """A network with filled weights, not trained; its files can be compared with it all the same."""
    model = digits_like()
    fill(model)
    return LoadedNetwork("small", model, GREY, tuple("abcdefghij"), DataOptions(source=SourceOptions(kind="digits")))


def digits_like() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="predictions")(x), name="small")


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
        relabel(newer / name, tuple("klmnopqrst"))
        found[form] = name, older, newer
    return found


def relabel(path: Path, labels: tuple[str, ...]) -> None:
    """Gives an export other labels, in a whole description."""
    about = describe("small", "saved-model" if path.is_dir() else "tflite", GREY, labels, "0")
    if path.is_dir():
        write_metadata(path, about)
    else:
        path.write_bytes(with_metadata(model_part(path.read_bytes()), about))


def names(folder) -> set[str]:
    return {file.name for file in Path(folder).iterdir()}


def test_an_export_replaces_an_older_one(digits, tmp_path):
    path = write(digits, tmp_path / "net.tflite")
    write(dataclasses.replace(digits, labels=tuple("klmnopqrst")), path)
    assert open_predictor(path).labels == tuple("klmnopqrst")
    assert names(tmp_path) == {"net.tflite"}


def test_the_description_carries_the_hash_of_its_file_and_of_the_weights(digits, tmp_path):
    path = write(digits, tmp_path / "net.tflite")
    what = read_inside(path)
    assert what["sha256"] == hashlib.sha256(model_part(path.read_bytes())).hexdigest()
    assert what["weights_sha256"] == weights_sha256(digits.model) != weights_sha256(digits_like())


def test_the_same_network_gives_the_same_file(digits, tmp_path):
    first, second = (write(digits, tmp_path / name).read_bytes() for name in ("a.tflite", "b.tflite"))
    assert first == second


def test_every_buffer_of_a_file_starts_at_a_multiple_of_16(digits, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    content = write(digits, tmp_path / "net.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [buffer.DataAsNumpy().__array_interface__["data"][0] for buffer in buffers if buffer.DataLength()]
    origin = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    assert len(starts) > 4 and {(start - origin) % 16 for start in starts} == {0}


@pytest.mark.parametrize("form", ["tflite", "saved-model"])
def test_a_file_of_another_description_is_refused(form, sets, tmp_path):
    """As after a process was killed between two renames, or a file was copied without the others."""
    name, older, _ = sets[form]
    path = shutil.copytree(older, tmp_path / "here") / name
    changed = path if form == "tflite" else path / "1" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(changed.read_bytes())
    content[200 if form == "tflite" else -9] ^= 1
    changed.write_bytes(content)
    with pytest.raises(ValueError, match="damaged: its description is that of another file. Export it again") as error:
        predict(path, [])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["tflite", "saved-model"])
@pytest.mark.parametrize("count", [3, 12])
def test_labels_of_another_network_are_refused_in_one_line(count, form, sets, tmp_path):
    name, older, _ = sets[form]
    path = shutil.copytree(older, tmp_path / "here") / name
    relabel(path, tuple(map(str, range(count))))
    with pytest.raises(ValueError, match=f"{count} labels and the network 10 classes"):
        predict(path, [])


def test_a_network_is_not_exported_with_the_labels_of_another(digits, tmp_path):
    with pytest.raises(ValueError, match="9 labels and the network 10 classes"):
        write(dataclasses.replace(digits, labels=digits.labels[1:]), tmp_path / "net.tflite")
    assert not names(tmp_path)


@pytest.mark.parametrize("form", ["tflite", "saved-model"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("step", range(2))
@pytest.mark.parametrize("empty", [False, True])
def test_an_interruption_leaves_the_older_set_as_it_was(empty, step, error, form, sets, tmp_path, monkeypatch):
    name, older, newer = sets[form]
    here, draft, spare, calls, replace = tmp_path / "here", tmp_path / "draft", tmp_path / "spare", [], os.replace
    here.mkdir() if empty else shutil.copytree(older, here)
    shutil.copytree(newer, draft)
    spare.mkdir()
    before = {file.relative_to(here): file.read_bytes() for file in here.rglob("*") if file.is_file()}
    moves = 1 if form == "tflite" else 2 - empty

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
