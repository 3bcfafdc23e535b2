"""Parity with outside implementations on weights that follow from names: max |difference| / std of logits <= 1e-4."""

import numpy as np
import pytest
from nets import golden, pixels, read_json, tensor_from_name

from kerasnets.registry import create_model
from kerasnets.weights.load import load_weights

ROWS = read_json("golden_rows.json")
# Nets of 10 GMAC and more, whose forward pass alone takes long to compile and run.
LARGE = {"timm__nasnetalarge", "timm__legacy_senet154", "timm__inception_resnet_v2", "timm__inception_v4"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in sorted(ROWS)])
def test_parity_with_golden(name):
    data = golden(name)
    size = data["input_size"]
    model = create_model(ROWS[name], input_shape=(size, size, 3), classifier_activation=None)
    report = load_weights(model, {n: tensor_from_name(n, shape) for n, shape in data["state_dict"]})
    assert not report.left and not report.skipped
    logits = np.asarray(model(pixels((1, size, size, 3), seed=size), training=False))[0]
    expected = np.asarray(data["logits"])
    assert np.abs(logits - expected).max() / expected.std() <= 1e-4
