"""Parity with outside implementations on weights that follow from names: max |difference| / std <= 1e-4.

Compared are the logits and, for most, one feature map from the middle. Weights come through a dict; for two networks
through a .safetensors file too, which has to give the very same weights.
"""

import zlib

import numpy as np
import pytest
from golden_files import golden, golden_weights
from nets import pixels, read_json
from safetensors.numpy import save_file

from kerasnets.build import create_model
from kerasnets.graph.features import features
from kerasnets.weights.load import load_weights

ROWS = read_json("golden_rows.json")
# Nets of 10 GMAC and more, or of 100 million weights. AlexNet stays, for its dense layers behind a `Flatten`;
# test_keras_applications_vgg.py compares VGG-16, with its top, by default too.
LARGE = {"timm__nasnetalarge", "timm__legacy_senet154", "timm__inception_resnet_v2", "timm__inception_v4"}
LARGE |= {"torchvision__vgg16", "torchvision__vgg16_bn", "torchvision__wide_resnet50_2"}
THROUGH_A_FILE = {"torchvision__alexnet", "torchvision__mobilenet_v2"}
MAPS = golden("stage_maps")


def logits_and_map(model, known, image):
    """The logits of one image, and the feature map of the layer that is known from outside."""
    if known is None:
        return np.asarray(model(image, training=False))[0], None
    layers = [model.layers[-1].name, known["layer"]]
    found = features(model, layers=layers)(image, training=False)
    return (np.asarray(found[layer])[0] for layer in layers)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in sorted(ROWS)])
def test_parity_with_golden(name, tmp_path):
    data = golden(name)
    size = data["input_size"]
    model = create_model(ROWS[name], input_shape=(size, size, 3), classifier_activation=None)
    arrays = golden_weights(name)
    report = load_weights(model, arrays)
    assert not (report.kept_initial or report.skipped or report.adapted)
    logits, inner = logits_and_map(model, MAPS.get(name), pixels((1, size, size, 3), seed=size))
    expected = np.asarray(data["logits"])
    assert np.abs(logits - expected).max() / expected.std() <= 1e-4
    if name in MAPS:
        assert inner.shape == tuple(MAPS[name]["shape"])
        places = np.random.default_rng(zlib.crc32(name.encode())).integers(inner.size, size=256)
        assert np.abs(inner.reshape(-1)[places] - MAPS[name]["values"]).max() / MAPS[name]["std"] <= 1e-4
    if name in THROUGH_A_FILE:
        from_dict = [np.array(v) for v in model.weights]
        for variable in model.weights:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        save_file(arrays, tmp_path / "net.safetensors")
        assert load_weights(model, tmp_path / "net.safetensors") == report
        assert all((np.array(v) == w).all() for v, w in zip(model.weights, from_dict, strict=True))
