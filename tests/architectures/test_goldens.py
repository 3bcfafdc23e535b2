"""Parity with outside implementations on weights that follow from names: max |difference| / std <= 1e-4.

Compared are the logits and, for most, one feature map from the middle. Weights come through a .safetensors file, and
through a dict, which has to give the very same weights.
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
# Nets of 10 GMAC and more, whose forward pass alone takes long to compile and run; VGG-16 stays, for its dense layers.
LARGE = {"timm__nasnetalarge", "timm__legacy_senet154", "timm__inception_resnet_v2", "timm__inception_v4"}
LARGE |= {"torchvision__vgg16_bn", "torchvision__wide_resnet50_2"}
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
    save_file(arrays, tmp_path / "net.safetensors")
    report = load_weights(model, tmp_path / "net.safetensors")
    assert not (report.kept_initial or report.skipped or report.adapted)
    logits, inner = logits_and_map(model, MAPS.get(name), pixels((1, size, size, 3), seed=size))
    expected = np.asarray(data["logits"])
    assert np.abs(logits - expected).max() / expected.std() <= 1e-4
    if name in MAPS:
        assert inner.shape == tuple(MAPS[name]["shape"])
        places = np.random.default_rng(zlib.crc32(name.encode())).integers(inner.size, size=256)
        assert np.abs(inner.reshape(-1)[places] - MAPS[name]["values"]).max() / MAPS[name]["std"] <= 1e-4
    from_file = [np.array(v) for v in model.weights]
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    assert load_weights(model, arrays) == report
    assert all((np.array(v) == w).all() for v, w in zip(model.weights, from_file, strict=True))
