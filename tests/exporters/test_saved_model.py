"""SavedModels: each variable once, and the same operators on every machine."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from loaded_networks import filled_network

from kerasnets.exporters.export import export
from kerasnets.exporters.open_network import probabilities
from kerasnets.layers.grouped_conv import GroupedConv2D

FILLED = {"top1_agreement": None, "accuracy_drop": None}  # the weights are filled, not trained


@pytest.fixture(scope="module")
def mobile(tmp_path_factory):
    """A MobileNetV2, its SavedModel's folder and the report."""
    net, place = filled_network("mobilenet_v2"), tmp_path_factory.mktemp("saved") / "net"
    return net, place, export(net, "saved-model", output=place, examples=8, bounds=FILLED)


def test_each_variable_is_written_once(mobile):
    net, place, _ = mobile
    values = sum(4 * math.prod(variable.shape) for variable in net.model.weights)
    written = sum(file.stat().st_size for file in (place / "variables").glob("variables.data*"))
    assert 0.8 * values < written < 1.01 * values


def test_batch_norm_is_folded(mobile):
    net, _, report = mobile
    weighted = sum(hasattr(layer, "kernel") for layer in net.model.layers)
    found = {name: report["ops"].get(name, 0) for name in ("FusedBatchNormV3", "Rsqrt", "BiasAdd")}
    assert found == {"FusedBatchNormV3": 0, "Rsqrt": 0, "BiasAdd": weighted}
    assert report["largest_difference"] < 1e-5


def test_names_of_inputs_and_outputs(mobile):
    loaded = tf.saved_model.load(str(mobile[1]))
    named = {
        name: (set(signature.structured_input_signature[1]), set(signature.structured_outputs))
        for name, signature in loaded.signatures.items()
    }
    assert named == {
        "serving_default": ({"images"}, {"probabilities"}),
        "serve_bytes": ({"files"}, {"probabilities"}),
    }


def test_keras_reads_it_as_a_layer(mobile):
    net, place, _ = mobile
    images = np.random.default_rng(0).uniform(0, 255, (3, *net.model.input_shape[1:])).astype("float32")
    layer = keras.layers.TFSMLayer(str(place), call_endpoint="serving_default")
    expected = probabilities(net.model, images, net.preprocessing)
    np.testing.assert_allclose(layer(images)["probabilities"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "onednn"),
    [
        ("resnext29_8x64d_cifar", "0"),
        ("alexnet", "1"),
        pytest.param("resnext29_8x64d_cifar", "1", marks=pytest.mark.slow),
        pytest.param("alexnet", "0", marks=pytest.mark.slow),
    ],
)
def test_a_grouped_convolution_is_one_operator_that_runs_with_and_without_onednn(name, onednn, tmp_path, monkeypatch):
    """Whatever kernels the exporting machine trains with. TensorFlow cannot fuse a bias to it on every machine."""
    net = filled_network(name)
    for layer in net.model.layers:
        if isinstance(layer, GroupedConv2D):
            layer.native = onednn == "0"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)  # of the fresh process
    report = export(net, "saved-model", output=tmp_path / "net", examples=8, bounds=FILLED)
    kernels = sum(len(layer.weights) > 0 and len(layer.weights[0].shape) == 4 for layer in net.model.layers)
    assert report["ops"]["Conv2D"] == kernels
    assert not {"Split", "SplitV", "ConcatV2", "FusedBatchNormV3"} & set(report["ops"])
    assert Path(report["path"]).is_dir() and report["largest_difference"] < 1e-4
