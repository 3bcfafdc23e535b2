"""The `weights` argument of the builders: `"imagenet"`, tags and paths."""

import keras
import numpy as np
import pytest
from golden_files import golden_weights
from nets import build_twin
from safetensors.numpy import save_file

from kerasnets.build import create_model
from kerasnets.weights.load import LoadReport


def test_weights_by_tag_and_by_imagenet(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASNETS_MIRROR", str(tmp_path))
    monkeypatch.setenv("KERASNETS_HOME", str(tmp_path / "home"))
    arrays = golden_weights("torchvision__resnet18")
    save_file(arrays, tmp_path / "resnet18.tv_in1k.safetensors")
    with pytest.raises(RuntimeError, match="is refused: its sha256 should begin with 694f"):
        create_model("resnet18", weights="imagenet", input_shape=(64, 64, 3))
    monkeypatch.setattr("kerasnets.weights.download.expected_hash", lambda *file: "")  # These are not the real weights.
    first = create_model("resnet18", weights="imagenet", input_shape=(64, 64, 3))
    assert (np.array(first.get_layer("bn1").beta) == arrays["bn1.bias"]).all()
    with pytest.warns(UserWarning, match=r"left at initial values: fc.weight: \(1000, 512\) into \(512, 5\)"):
        second = create_model("resnet18", weights="tv_in1k", input_shape=(64, 64, 3), classes=5)
    trunks = (keras.Model(m.input, m.get_layer("layer4.1.bn2").output).get_weights() for m in (first, second))
    assert all((a == b).all() for a, b in zip(*trunks, strict=True))
    with pytest.raises(RuntimeError, match="mirror has no 'resnet18.a1_in1k.safetensors'"):
        create_model("resnet18", weights="a1_in1k")


@pytest.mark.parametrize(
    ("variant", "arguments", "words"),
    [
        ("alexnet", {"weights": "imagenet"}, "'alexnet_torchvision' has"),
        ("lenet5", {"weights": "imagenet"}, "nor has a network near to it"),
        ("resnet18", {"weights": "tv_in2k"}, "Did you mean 'tv_in1k'"),
        ("resnet18", {"weights": 3}, "should be either `None`"),
        ("mobilenet_v1", {"weights": "imagenet", "alpha": 0.3}, "{'alpha': 0.3}"),
        ("mobilenet_v1", {"weights": "keras_0.50", "alpha": 0.25}, "keras_0.50: {'alpha': 0.5}"),
    ],
)
def test_what_there_is_not(variant, arguments, words):
    with pytest.raises(ValueError) as caught:
        build_twin(variant, **arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_pixels_are_normalised_as_the_weights_were_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("kerasnets.build.load_weights", lambda model, path: LoadReport(()))
    monkeypatch.setattr("kerasnets.build.fetch", lambda checkpoint: tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("float32")
    normalised = []
    for weights in (None, "imagenet"):
        model = build_twin("resnet50", include_preprocessing=True, weights=weights, input_shape=(64, 64, 3))
        layer = next(layer for layer in model.layers if "normalization" in layer.name.lower())
        normalised.append(np.asarray(layer(images)))
    torch, caffe = images / 255, images[..., ::-1]
    assert np.allclose(normalised[0], (torch - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], atol=1e-4)
    assert np.allclose(normalised[1], caffe - [103.939, 116.779, 123.68], atol=1e-3)


def test_no_such_file(tmp_path):
    for path in (tmp_path / "none", str(tmp_path / "none.pth"), "none.safetensors"):
        with pytest.raises(FileNotFoundError, match="No weights file at"):
            build_twin("lenet5_modern", weights=path)
