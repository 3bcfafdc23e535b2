"""Maps of PyTorch on the same weights: goldens/explain.

How close they can get is in goldens/explain/README.md: guided, Grad-CAM and occlusion within 1e-3 of the map's range;
the others with a correlation of 0.9999 (deconvnet 0.999) and a sum of absolute values within 0.2 %.
"""

import gzip
import json

import numpy as np
import pytest
from golden_files import GOLDENS, tensor_from_name
from nets import pixels

from kerasnets import explain
from kerasnets.build import create_model
from kerasnets.weights.load import load_weights

# Name in torchvision -> (our variant, our name of the golden's layer where it is another one).
NETWORKS = {
    "vgg11": ("vgg11", None),
    "resnet18": ("resnet18", None),
    "googlenet": ("googlenet_torchvision", None),
    "densenet121": ("densenet121", None),
    "mobilenet_v2": ("mobilenet_v2_torchvision", "features.18.1.act"),
}
OPTIONS = {"integrated_gradients": {"steps": 16}, "occlusion": {"window": 56, "stride": 28}}
OF_A_LAYER = ("grad_cam", "grad_cam_plus_plus", "layer_cam")
WITHIN_RANGE = ("guided", "grad_cam", "occlusion")
METHODS = ("gradient", "input_x_gradient", "deconvnet", "integrated_gradients", "guided", "occlusion", *OF_A_LAYER)
# In the default run: small networks, and methods with few passes.
QUICK = {("resnet18", method) for method in METHODS if method != "integrated_gradients"}
QUICK |= {("mobilenet_v2", "guided"), ("mobilenet_v2", "grad_cam")}


@pytest.fixture(scope="module")
def networks():
    """Builds each network once, with the golden's weights."""
    built = {}

    def build(name: str):
        if name not in built:
            golden = json.loads(gzip.open(GOLDENS / "explain" / f"torchvision__{name}.json.gz").read())
            model = create_model(NETWORKS[name][0], input_shape=(golden["input_size"],) * 2 + (3,))
            load_weights(model, {key: np.asarray(tensor_from_name(key, shape)) for key, shape in golden["state_dict"]})
            built[name] = model, golden
        return built[name]

    return build


def cases():
    for name in NETWORKS:
        for method in METHODS:
            yield pytest.param(name, method, marks=() if (name, method) in QUICK else pytest.mark.slow)


@pytest.mark.parametrize(("name", "method"), cases())
def test_map_is_pytorch_s(name, method, networks):
    model, golden = networks(name)
    options = dict(OPTIONS.get(method, {}))
    if method in OF_A_LAYER:
        options["layer"] = NETWORKS[name][1] or golden["layer"]
    image = pixels((1, 224, 224, 3), seed=224)
    found, expected = getattr(explain, method)(model, image, **options)[0], golden["maps"][method]
    assert found.dtype == np.float32 and found.shape == tuple(expected["shape"])
    values, wanted = found.reshape(-1), np.asarray(expected["values"])
    if len(wanted) < found.size:
        values = values[np.random.default_rng(golden["places_seed"]).choice(found.size, len(wanted), replace=False)]
    high, low = expected.get("max", wanted.max()), expected.get("min", wanted.min())
    error, alike = np.abs(values - wanted).max() / (high - low), np.corrcoef(values, wanted)[0, 1]
    total = np.abs(found).sum() / expected.get("abs_sum", np.abs(wanted).sum()) - 1
    print(f"{name} {method}: error {error:.1e} of the range, correlation {alike:.6f}, sum {total:+.1e}")
    if method in WITHIN_RANGE:
        assert error <= 1e-3
    assert alike >= (0.999 if method == "deconvnet" else 0.9999) and abs(total) <= 2e-3


def test_target_is_the_largest_logit(networks):
    model, golden = networks("resnet18")
    image = pixels((1, 224, 224, 3), seed=224)
    named = explain.grad_cam(model, image, target=golden["target"])
    assert (named == explain.grad_cam(model, image)).all()
    assert (named != explain.grad_cam(model, image, target=golden["target"] - 1)).any()
