"""Residual and dense networks beside keras.applications, with the same random weights."""

import re

import keras
import numpy as np
import pytest
from nets import fill, pixels

from kerasnets.build import create_model

DENSE = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
STEM = {"conv1_conv": "features.conv0", "conv1_bn": "features.norm0", "bn": "features.norm5"}


def resnet_name(theirs: str) -> str:
    """conv2_block1_1_conv -> layer1.0.conv1, conv2_block1_0_bn -> layer1.0.downsample.1."""
    found = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", theirs)
    if not found:
        return {"conv1_conv": "conv1", "conv1_bn": "bn1"}.get(theirs, theirs)
    stage, block, number, kind = found.groups()
    own = f"downsample.{0 if kind == 'conv' else 1}" if number == "0" else f"{kind}{number}"
    return f"layer{int(stage) - 1}.{int(block) - 1}.{own}"


def densenet_name(theirs: str) -> str:
    """conv2_block1_0_bn -> features.denseblock1.denselayer1.norm1, pool2_conv -> features.transition1.conv."""
    if found := re.fullmatch(r"conv(\d)_block(\d+)_(\w+)", theirs):
        return f"features.denseblock{int(found[1]) - 1}.denselayer{found[2]}.{DENSE[found[3]]}"
    if found := re.fullmatch(r"pool(\d)_(bn|conv)", theirs):
        return f"features.transition{int(found[1]) - 1}.{'norm' if found[2] == 'bn' else 'conv'}"
    return STEM.get(theirs, theirs)


@pytest.mark.parametrize(
    ("variant", "theirs", "name"),
    [
        ("resnet50_v2_keras", "ResNet50V2", str),
        pytest.param("resnet50", "ResNet50", resnet_name, marks=pytest.mark.slow),
        pytest.param("resnet101", "ResNet101", resnet_name, marks=pytest.mark.slow),
        pytest.param("densenet121", "DenseNet121", densenet_name, marks=pytest.mark.slow),
        pytest.param("densenet201", "DenseNet201", densenet_name, marks=pytest.mark.slow),
    ],
)
def test_same_logits(variant, theirs, name):
    shape = (64, 64, 3)
    peer = getattr(keras.applications, theirs)(weights=None, classes=10, input_shape=shape, classifier_activation=None)
    ours = create_model(variant, classes=10, input_shape=shape, classifier_activation=None)
    fill(peer)
    for layer in (layer for layer in peer.layers if layer.weights):
        target = ours.get_layer(name(layer.name))
        if len(layer.weights) > len(target.weights):
            # ResNet v1 of keras.applications has biases in front of its normalisations.
            layer.bias.assign(np.zeros(layer.bias.shape))
        for value in target.weights:
            value.assign(next(w for w in layer.weights if w.name == value.name))
    assert sum(bool(layer.weights) for layer in ours.layers) == sum(bool(layer.weights) for layer in peer.layers)
    x = pixels((1, *shape))
    expected = np.asarray(peer(x, training=False))
    assert np.abs(np.asarray(ours(x, training=False)) - expected).max() <= 1e-4 * expected.std()
