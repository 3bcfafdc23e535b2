"""Names of tensors in every convention."""

import re

import numpy as np
import pytest
from golden_files import golden_weights
from keras.src.legacy.saving import legacy_h5_format
from keras_applications import peer
from nets import build_twin, fill, pixels
from torch_arrays import torch_arrays

from kerasnets.build import create_model
from kerasnets.weights.load import load_weights
from kerasnets.weights.mapping import torch_names, weight_targets


def weights_of(model):
    return [np.array(v) for v in model.weights]


def same(model, other):
    return all((np.array(a) == np.array(b)).all() for a, b in zip(model.weights, other.weights, strict=True))


SLOW_OWN = [("nasnet_mobile", "keras"), ("densenet121", "weights.h5"), ("resnext50_32x4d", "keras")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lenet5", "keras"),
        ("squeezenet1_1", "weights.h5"),
        *(pytest.param(*o, marks=pytest.mark.slow) for o in SLOW_OWN),
    ],
)
def test_own_files_come_back(name, kind, tmp_path):
    first, second = build_twin(name), build_twin(name)
    fill(first)
    first.compile("adam", "sparse_categorical_crossentropy")
    first.optimizer.build(first.trainable_variables)
    path = tmp_path / f"net.{kind}"
    (first.save if kind == "keras" else first.save_weights)(path)
    report = load_weights(second, path)
    assert same(first, second) and len(report.loaded) == len(weight_targets(second))
    assert not (report.kept_initial or report.adapted or report.skipped)


def test_own_file_with_other_classes_keeps_the_initial_classifier(tmp_path):
    first, second = build_twin("resnet18", classes=10), build_twin("resnet18", classes=7)
    fill(first)
    first.save_weights(tmp_path / "net.weights.h5")
    report = load_weights(second, tmp_path / "net.weights.h5")
    assert [line.split(":")[0] for line in report.kept_initial] == ["predictions/0", "predictions/1"]


@pytest.mark.parametrize(
    ("builder", "variant"), [("MobileNet", "mobilenet_v1"), pytest.param("VGG16", "vgg16", marks=pytest.mark.slow)]
)
def test_the_older_h5_of_keras_applications(builder, variant, tmp_path):
    import h5py

    theirs = peer(builder, 64)
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    ours = create_model(variant, classes=10, classifier_activation=None, input_shape=(64, 64, 3))
    report = load_weights(ours, tmp_path / "theirs.h5")
    x = pixels((1, 64, 64, 3))
    expected = np.asarray(theirs(x, training=False))
    assert (
        not report.kept_initial
        and np.abs(np.asarray(ours(x, training=False)) - expected).max() <= 1e-4 * expected.std()
    )


# The modules of efficientnet_pytorch in the order in which its networks register them (efficientnet_pytorch/model.py).
PLAIN_BLOCK = ("_depthwise_conv", "_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2")
EXPANDED_BLOCK = ("_expand_conv", "_bn0", *PLAIN_BLOCK)
NORM = ("weight", "bias", "running_mean", "running_var")


def efficientnet_pytorch_names(squeezes: bool) -> list[str]:
    """The tensors of B0, or of Lite0 without squeeze-and-excitation; in both the first of 16 blocks does not expand."""
    blocks = [f"_blocks.{n}.{part}" for n in range(16) for part in (EXPANDED_BLOCK if n else PLAIN_BLOCK)]
    blocks = [name for name in blocks if squeezes or "_se_" not in name]
    modules = ["_conv_stem", "_bn0", *blocks, "_conv_head", "_bn1", "_fc"]
    kinds = ((r".*_bn\d", NORM), (r".*_se_\w+|_fc", ("weight", "bias")), (r".*", ("weight",)))
    suffixes = {m: next(suffixes for pattern, suffixes in kinds if re.fullmatch(pattern, m)) for m in modules}
    return [f"{module}.{suffix}" for module in modules for suffix in suffixes[module]]


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_b0"])
def test_efficientnet_pytorch_loads_as_timm_does(name):
    """timm registers the same tensors in the same order under other names; these stand in tests/goldens."""
    timm = golden_weights(f"timm__tf_{name}")
    names = efficientnet_pytorch_names(squeezes=name == "efficientnet_b0")
    assert "_blocks.1._expand_conv.weight" in names and "_fc.bias" in names
    model = create_model(name, input_shape=(64, 64, 3))
    load_weights(model, timm)
    expected = weights_of(model)
    fill(model)
    report = load_weights(model, dict(zip(names, timm.values(), strict=True)))
    assert report.loaded and len(report.loaded) == len(timm) and not report.unused
    assert all((a == b).all() for a, b in zip(weights_of(model), expected, strict=True))


@pytest.fixture(scope="module")
def efficientnet_targets():
    return weight_targets(create_model("efficientnet_b0", input_shape=(64, 64, 3)))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn0.running_mean", "bn1.running_mean"),
        ("_blocks.0._depthwise_conv.weight", "blocks.0.0.conv_dw.weight"),
        ("_blocks.0._bn1.weight", "blocks.0.0.bn1.weight"),
        ("_blocks.0._se_reduce.bias", "blocks.0.0.se.conv_reduce.bias"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("_blocks.1._expand_conv.weight", "blocks.1.0.conv_pw.weight"),
        ("_blocks.1._bn0.weight", "blocks.1.0.bn1.weight"),
        ("_blocks.2._depthwise_conv.weight", "blocks.1.1.conv_dw.weight"),
        ("_blocks.2._bn1.running_var", "blocks.1.1.bn2.running_var"),
        ("_blocks.3._se_expand.weight", "blocks.2.0.se.conv_expand.weight"),
        ("_blocks.3._project_conv.weight", "blocks.2.0.conv_pwl.weight"),
        ("_blocks.3._bn2.weight", "blocks.2.0.bn3.weight"),
        ("_conv_head.weight", "conv_head.weight"),
        ("_bn1.bias", "bn2.bias"),
        ("_fc.weight", "predictions.weight"),
    ],
)
def test_a_name_of_efficientnet_pytorch(efficientnet_targets, theirs, ours):
    assert torch_names([theirs], efficientnet_targets, "efficientnet_pytorch") == {ours: theirs}
    assert ours in efficientnet_targets


def test_old_torchvision_names_of_densenet():
    model = build_twin("densenet121")
    fill(model)
    arrays, expected = torch_arrays(model), weights_of(model)
    fresh = build_twin("densenet121")
    old = {}
    for name, array in arrays.items():
        for part in ("norm1", "conv1", "norm2", "conv2"):
            if "denselayer" in name:
                name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
        old[name] = array
    assert any(".norm.1." in name for name in old)
    load_weights(fresh, old)
    assert all((a == b).all() for a, b in zip(weights_of(fresh), expected, strict=True))


TOPS = ["vgg11", "alexnet_torchvision", "mobilenet_v3_small", "squeezenet1_1_torchvision"]
OTHERS = ["alexnet", "mobilenet_v3_small_torchvision", "googlenet_torchvision", "zfnet", "nin", "senet154", "xception"]


@pytest.mark.parametrize("name", [*TOPS, *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)])
def test_a_network_without_top_takes_the_trunk_of_a_whole_file(name, tmp_path):
    whole, trunk = build_twin(name), build_twin(name, include_top=False)
    fill(whole)
    whole.save_weights(tmp_path / "net.weights.h5")
    report = load_weights(trunk, tmp_path / "net.weights.h5")
    assert report.unused and len(report.loaded) == len(weight_targets(trunk)) and not report.kept_initial
    expected = {variable.path: np.array(variable) for variable in whole.weights}
    assert trunk.weights and all((np.array(v) == expected[v.path]).all() for v in trunk.weights)
    with pytest.raises(ValueError, match="in keras's layout"):
        load_weights(trunk, tmp_path / "net.weights.h5", format="timm")


def test_vgg_without_top_takes_the_names_of_torchvision_and_timm():
    trunk = build_twin("vgg11", include_top=False)
    fill(trunk)
    arrays = torch_arrays(trunk)
    tops = [("classifier.0", "classifier.3", "classifier.6"), ("pre_logits.fc1", "pre_logits.fc2", "head.fc")]
    for top in tops:
        extra = {f"{layer}.{part}": np.zeros((4, 4)) for layer in top for part in ("weight", "bias")}
        assert len(load_weights(trunk, {**arrays, **extra}).unused) == 6
