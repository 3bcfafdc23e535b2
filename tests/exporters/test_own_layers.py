"""Exported files of networks with our own layers: which operators they hold."""

import pytest
from loaded_networks import filled_network

from kerasnets.exporters.export import export


def test_int8_names_local_response_normalisation_as_a_float_island(tmp_path):
    bounds = {"top1_agreement": None, "accuracy_drop": None}  # the weights are filled, not trained
    report = export(filled_network("alexnet"), "tflite-int8", output=tmp_path / "net.tflite", examples=8, bounds=bounds)
    assert [island.split()[0] for island in report["float_islands"]] == ["LOCAL_RESPONSE_NORMALIZATION"] * 2
    assert not report["flex_ops"]


@pytest.mark.parametrize("name", ["alexnet", "resnext29_8x64d_cifar"])
def test_a_grouped_convolution_is_one_operator(name, tmp_path):
    """Also on a machine where TensorFlow trains it as several dense convolutions."""
    net = filled_network(name)
    report = export(net, "tflite", output=tmp_path / "net.tflite", examples=8)
    convolutions = sum(len(layer.weights) > 0 and len(layer.weights[0].shape) == 4 for layer in net.model.layers)
    assert report["ops"]["CONV_2D"] == convolutions + 1  # the first one normalises the pixels
    assert not {"SPLIT", "SPLIT_V", "CONCATENATION"} & set(report["ops"])
