"""Parity with outside implementations on weights that follow from names: max |difference| / std of logits <= 1e-4.

Through a .safetensors file, and through a dict, which has to give the very same weights.
"""

import numpy as np
import pytest
from nets import golden, pixels, read_json, tensor_from_name
from safetensors.numpy import save_file

from kerasnets.registry import create_model
from kerasnets.weights.load import load_weights

ROWS = read_json("golden_rows.json")
# Nets of 10 GMAC and more, whose forward pass alone takes long to compile and run; VGG-16 stays, for its dense layers.
LARGE = {"timm__nasnetalarge", "timm__legacy_senet154", "timm__inception_resnet_v2", "timm__inception_v4"}
LARGE |= {"torchvision__vgg16_bn", "torchvision__wide_resnet50_2"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in sorted(ROWS)])
def test_parity_with_golden(name, tmp_path):
    data = golden(name)
    size = data["input_size"]
    model = create_model(ROWS[name], input_shape=(size, size, 3), classifier_activation=None)
    arrays = {n: np.asarray(tensor_from_name(n, shape)) for n, shape in data["state_dict"]}
    save_file(arrays, tmp_path / "net.safetensors")
    report = load_weights(model, tmp_path / "net.safetensors")
    assert not (report.left or report.skipped or report.adapted)
    logits = np.asarray(model(pixels((1, size, size, 3), seed=size), training=False))[0]
    expected = np.asarray(data["logits"])
    assert np.abs(logits - expected).max() / expected.std() <= 1e-4
    from_file = [np.array(v) for v in model.weights]
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    assert load_weights(model, arrays) == report
    assert all((np.array(v) == w).all() for v, w in zip(model.weights, from_file, strict=True))
