"""Weight files with links, with compression, and with damage: all of it is loaded, or nothing."""

import h5py
import numpy as np
import pytest
import tensorflow as tf
from damaged_files import damaged
from safetensors.numpy import save_file
from torch_arrays import torch_arrays

from kerasnets.build import create_model
from kerasnets.exporters.tflite import load_tflite
from kerasnets.weights.load import load_weights


def legacy(path, model, place=lambda layer: layer.name, **options):
    """Writes a model's weights as Keras 2 did: a list of layers, and of each layer's weights."""
    layers = [layer for layer in model.layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [place(layer).encode() for layer in layers]
        for layer in layers:
            names = [f"{layer.name}/{v.name}:0" for v in layer.weights]
            group = file.create_group(place(layer))
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group.create_dataset(name, data=np.array(variable), **options)


def compressed(path, target):
    """Copies an HDF5 file with every array packed by gzip."""

    def copy(name, item):
        if isinstance(item, h5py.Dataset):
            packed.create_dataset(name, data=item[()], compression="gzip")
        else:
            packed.require_group(name).attrs.update(item.attrs)

    with h5py.File(path) as source, h5py.File(target, "w") as packed:
        packed.attrs.update(source.attrs)
        source.visititems(copy)


@pytest.mark.parametrize("linked", ["ext", "ext/c1", "ext/c1/c1"])
@pytest.mark.parametrize("link", [h5py.SoftLink, h5py.ExternalLink])
def test_an_older_h5_with_a_link_on_the_way(net, refuses, tmp_path, linked, link):
    legacy(tmp_path / "secret.h5", net, lambda layer: f"ext/{layer.name}")
    path = tmp_path / "net.h5"
    path.write_bytes((tmp_path / "secret.h5").read_bytes())
    load_weights(net, path)
    with h5py.File(path, "a") as file:
        file.move(linked, "hidden")
        file[linked] = link("/hidden") if link is h5py.SoftLink else link("secret.h5", linked)
    refuses(path, f"{linked.rpartition('/')[2]!r} is a link")


def test_links_that_multiply(refuses, tmp_path):
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        groups = [file.create_group(f"hidden/{depth}") for depth in range(11)]
        for outer, inner in zip(groups, groups[1:], strict=False):
            for number in range(10):
                outer[str(number)] = inner  # 10 ** 10 paths through eleven groups
    refuses(path, "nests deeper")


@pytest.mark.parametrize("kind", ["weights.h5", "h5"])
def test_a_compressed_h5_is_read(net, tmp_path, kind):
    plain, packed = tmp_path / f"plain.{kind}", tmp_path / f"packed.{kind}"
    sparse = create_model("lenet5_modern")
    for variable in sparse.weights:
        variable.assign(np.where(np.arange(np.prod(variable.shape)) % 20, 0, 0.25).reshape(variable.shape))
    sparse.save_weights(plain) if kind == "weights.h5" else legacy(plain, sparse)
    compressed(plain, packed)
    assert 4 * packed.stat().st_size < plain.stat().st_size
    load_weights(net, packed)
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(net.weights, sparse.weights, strict=True))


def test_a_last_chunk_that_is_corrupt_leaves_everything_as_it_was(refuses, tmp_path):
    path = tmp_path / "net.h5"
    legacy(path, create_model("lenet5_modern"), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["predictions/predictions/kernel:0"].id.get_chunk_info(0)
    contents = bytearray(path.read_bytes())
    contents[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(contents)
    refuses(path, "is not a whole HDF5 file")


def test_a_dict_of_something_else_changes_nothing(net):
    arrays = {name: array + 1 for name, array in torch_arrays(net).items()}
    arrays["predictions.bias"] = arrays["predictions.bias"].astype(str)
    before = [np.array(v) for v in net.weights]
    with pytest.raises(ValueError, match="'predictions.bias' does not hold numbers"):
        load_weights(net, arrays)
    assert all((np.array(v) == b).all() for v, b in zip(net.weights, before, strict=True))


@pytest.mark.parametrize("kind", ["weights.h5", "h5", "keras", "safetensors"])
def test_of_150_damaged_copies_each_loads_or_is_one_line(net, tmp_path, kind):
    good, path = tmp_path / f"good.{kind}", tmp_path / f"net.{kind}"
    if kind == "safetensors":
        save_file({"c1.weight": np.zeros((6, 1, 5, 5), np.float32), "c1.bias": np.zeros(6, np.float32)}, good)
    else:
        {"keras": net.save, "h5": lambda path: legacy(path, net)}.get(kind, net.save_weights)(good)
    before, refused = [np.array(v) for v in net.weights], 0
    for seed in range(150):
        path.write_bytes(damaged(good.read_bytes(), seed))
        try:
            load_weights(net, path)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error) and path.name in str(error), (seed, error)
            assert all((np.asarray(v) == b).all() for v, b in zip(net.weights, before, strict=True)), seed
        for variable, value in zip(net.weights, before, strict=True):
            variable.assign(value)
    assert refused > 75


def test_of_160_damaged_tflite_files_each_runs_or_is_one_line(tmp_path):

    converter = tf.lite.TFLiteConverter.from_keras_model(create_model("resnet20_cifar"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    good, path, refused = converter.convert(), tmp_path / "net.tflite", 0
    for seed in range(160):
        path.write_bytes(damaged(good, seed))
        try:
            load_tflite(path).run(np.zeros((1, 32, 32, 3), np.float32))
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error) and "net.tflite is not a TFLite file, or damaged" in str(error), (seed, error)
    assert refused > 80
