"""A TFLite file with sparse weights, run by LiteRT."""

import numpy as np

import kerasnets
from kerasnets.exporters.export import export


def test_the_zeros_of_a_pruned_network_take_no_place(tmp_path):
    model = kerasnets.create_model("lenet5_caffe")
    for layer in model.layers:
        if layer.weights:
            kernel = np.random.default_rng(0).normal(size=layer.kernel.shape) * 0.1
            layer.kernel.assign(kernel * (np.abs(kernel) > 0.15))
    pixels = np.random.default_rng(1).integers(0, 256, (20, 28, 28, 1)).astype("uint8")
    whole, sparse = (export(model, form, pixels, tmp_path / f"{form}.tflite") for form in ("tflite", "tflite-sparse"))
    assert sparse["bytes"] < 0.4 * whole["bytes"] and sparse["largest_difference"] < 1e-5
