"""Weight files that lie or would run code: one clear line each, nothing executed, no memory spent."""

import json
import pickle
import sys
import types
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from kerasnets.build import create_model
from kerasnets.weights.load import load_weights


@pytest.mark.parametrize("kind", ["safetensors", "h5", "weights.h5", "keras"])
def test_an_empty_file(refuses, tmp_path, kind):
    path = tmp_path / f"net.{kind}"
    path.write_bytes(b"")
    refuses(path, "is not a whole")


@pytest.mark.parametrize("kind", ["h5", "keras", "safetensors"])
def test_a_file_of_another_kind_and_a_truncated_one(net, refuses, tmp_path, kind):
    path = tmp_path / f"net.{kind}"
    path.write_bytes(b"<html>404</html>" * 100)
    refuses(path, "is not a whole")
    if kind != "safetensors":
        saved = tmp_path / ("saved.keras" if kind == "keras" else "saved.weights.h5")
        (net.save if kind == "keras" else net.save_weights)(saved)
        path.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
        refuses(path, "is not a whole")


class Trap:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_that_would_run_code(refuses, tmp_path, zipped):
    pytest.importorskip("torch")
    path, sprung = tmp_path / "net.pth", tmp_path / "sprung"
    data = pickle.dumps({"conv1.weight": Trap(sprung)})
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/data.pkl", data)
            archive.writestr("net/version", "3")
    else:
        path.write_bytes(data)
    refuses(path, "tensors alone")
    assert not sprung.exists()


def test_a_pth_without_torch_names_the_extra(net, tmp_path, monkeypatch):
    path = tmp_path / "net.pth"
    path.write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"kerasnets\[torch\]"):
        load_weights(net, path)


@pytest.mark.parametrize("version, safe", [("2.5.1+cu124", 0), ("1.13.0", 0), ("2.6.0", 1), ("3.0.0a0", 1)])
def test_a_torch_that_runs_code_is_not_asked(net, tmp_path, monkeypatch, version, safe):
    def load(*arguments, **options):
        raise RuntimeError("asked")

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(__version__=version, load=load))
    path = tmp_path / "net.pth"
    path.write_bytes(b"anything")
    with pytest.raises(ValueError if safe else ImportError) as caught:
        load_weights(net, path)
    assert "\n" not in str(caught.value) and ("asked" if safe else "2.6 or newer, since an older one") in str(
        caught.value
    )
    assert safe or version in str(caught.value)


def test_a_pth_tar_is_a_pth(net, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("net.pth.tar", "net.tar"):
        (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ImportError, match="net.pth.tar"):
        load_weights(net, tmp_path / "net.pth.tar")
    with pytest.raises(ImportError, match="net.pth.tar"):
        create_model("lenet5_modern", weights=str(tmp_path / "net.pth.tar"))
    with pytest.raises(ValueError, match="are read from"):
        load_weights(net, tmp_path / "net.tar")


def test_a_keras_file_with_a_lambda_runs_nothing(refuses, tmp_path):
    sprung = tmp_path / "sprung"
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x), keras.layers.Dense(2)])
    path = tmp_path / "net.keras"
    model.save(path)
    refuses(path, "Lambda")
    assert not sprung.exists()


def test_a_keras_file_that_would_fill_the_disk(net, refuses, tmp_path):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.writestr("model.weights.h5", bytes(60_000_000))
    refuses(path, "would unpack")


def layer(file, name="conv1"):
    group = file.create_group(f"layers/{name}/vars")
    group.attrs["name"] = name
    return group


def test_an_h5_that_claims_more_than_it_holds(refuses, tmp_path):
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        layer(file).create_dataset("0", shape=(5, 5, 1, 10**9), dtype="float32", chunks=(5, 5, 1, 10))
    refuses(path, "lies about its sizes", "conv1/0")


def test_an_h5_that_points_elsewhere(net, refuses, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 150))
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        layer(file).create_dataset("0", shape=(5, 5, 1, 6), dtype="float32", external=[(str(secret), 0, 600)])
    refuses(path, "not followed")
    net.save_weights(tmp_path / "other.weights.h5")
    with h5py.File(path, "w") as file:
        layer(file)["0"] = h5py.ExternalLink("other.weights.h5", "/layers/conv2d/vars/0")
    refuses(path, "not followed")
    for link in (h5py.ExternalLink("other.weights.h5", "/layers"), h5py.SoftLink("/elsewhere")):
        with h5py.File(path, "w") as file:
            layer(file)["0"] = np.zeros((5, 5, 1, 6), np.float32)
            file["layers/ext"] = link
        refuses(path, "'ext' is a link")
    with h5py.File(path, "w") as file:
        layer(file)["0"] = np.array(["text"], dtype=h5py.string_dtype())
    refuses(path, "does not hold numbers")
    with h5py.File(path, "w") as file:
        inner = file.create_group("layers/a")
        inner["again"] = file["layers"]  # a circle
    refuses(path, "nests deeper")


def test_an_h5_of_other_shapes(refuses, tmp_path):
    other = create_model("lenet5_modern", input_shape=(40, 40, 1))
    path = tmp_path / "net.weights.h5"
    other.save_weights(path)
    with h5py.File(path, "a") as file:
        for name in file["layers"]:
            if "0" in file["layers"][name]["vars"] and file["layers"][name]["vars"]["0"].ndim == 4:
                shape = file["layers"][name]["vars"]["0"].shape
                del file["layers"][name]["vars"]["0"]
                file["layers"][name]["vars"]["0"] = np.zeros((3, 3, *shape[2:]), np.float32)
    refuses(path, "other shapes", "(3, 3,")
