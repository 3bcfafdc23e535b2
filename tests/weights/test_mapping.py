"""Names of every convention, what is derived, and the `weights` argument of the builders."""

import keras
import numpy as np
import pytest
from golden_files import golden_weights, tensor_from_name
from keras.src.legacy.saving import legacy_h5_format
from keras_applications import peer
from nets import build_twin, fill, pixels
from safetensors.numpy import save_file

from kerasnets.build import create_model
from kerasnets.weights.load import LoadReport, load_weights
from kerasnets.weights.mapping import (
    EFFICIENTNET_EXPANDED,
    EFFICIENTNET_PLAIN,
    EFFICIENTNET_TOP,
    blocks_of,
    flat_block,
    rename,
    tensors,
)


def weights_of(model):
    return [np.array(v) for v in model.weights]


def same(model, other):
    return all((np.array(a) == np.array(b)).all() for a, b in zip(model.weights, other.weights, strict=True))


def arrays_of(model) -> dict:
    """A model's weights as a dict in PyTorch's names and layouts; no flattened map, no depthwise."""
    back = {4: lambda a: a.transpose(3, 2, 0, 1), 2: lambda a: a.T, 1: lambda a: a}
    return {t.name(): back[len(t.variable.shape)](np.array(t.variable)) for t in tensors(model)}


@pytest.fixture(scope="module")
def net():
    model = create_model("resnet18", input_shape=(64, 64, 3))
    fill(model)
    return model


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
    assert same(first, second) and len(report.loaded) == len(tensors(second))
    assert not (report.left or report.adapted or report.skipped)


def test_own_file_with_other_classes_leaves_the_classifier(tmp_path):
    first, second = build_twin("resnet18", classes=10), build_twin("resnet18", classes=7)
    fill(first)
    first.save_weights(tmp_path / "net.weights.h5")
    report = load_weights(second, tmp_path / "net.weights.h5")
    assert [line.split(":")[0] for line in report.left] == ["predictions/0", "predictions/1"]


@pytest.mark.parametrize(
    ("builder", "row"), [("MobileNet", "mobilenet_v1"), pytest.param("VGG16", "vgg16", marks=pytest.mark.slow)]
)
def test_the_older_h5_of_keras_applications(builder, row, tmp_path):
    import h5py

    theirs = peer(builder, 64)
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    ours = create_model(row, classes=10, classifier_activation=None, input_shape=(64, 64, 3))
    report = load_weights(ours, tmp_path / "theirs.h5")
    x = pixels((1, 64, 64, 3))
    expected = np.asarray(theirs(x, training=False))
    assert not report.left and np.abs(np.asarray(ours(x, training=False)) - expected).max() <= 1e-4 * expected.std()


def to_efficientnet_pytorch(model, arrays: dict) -> dict:
    """Our names of an EfficientNet in those of efficientnet_pytorch."""
    top = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "predictions": "_fc"}
    renamed = {}
    for name, array in arrays.items():
        layer, _, suffix = name.rpartition(".")
        for number, (path, expands) in enumerate(blocks_of(model)):
            if layer.startswith(path + "."):
                parts = {v: k for k, v in (EFFICIENTNET_EXPANDED if expands else EFFICIENTNET_PLAIN).items()}
                parts = parts if expands else {k: v for k, v in parts.items() if v not in ("_expand_conv", "_bn0")}
                layer = f"_blocks.{number}.{parts[layer.removeprefix(path + '.')]}"
        renamed[f"{top.get(layer, layer)}.{suffix}"] = array
    return renamed


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_b0"])
def test_names_of_efficientnet_pytorch(name):
    model = build_twin(name)
    arrays = {}
    for tensor in tensors(model):
        shape = tuple(tensor.variable.shape)
        if len(shape) == 4:
            depthwise = ".conv_dw" in tensor.layer
            shape = (shape[2], 1, *shape[:2]) if depthwise else (shape[3], shape[2], *shape[:2])
        arrays[tensor.name()] = tensor_from_name(tensor.name(), shape[::-1] if len(shape) == 2 else shape)
    load_weights(model, arrays)
    before = weights_of(model)
    fill(model)
    renamed = to_efficientnet_pytorch(model, arrays)
    assert "_blocks.1._expand_conv.weight" in renamed and "_fc.bias" in renamed and len(renamed) == len(arrays)
    report = load_weights(model, renamed)
    assert len(report.loaded) == len(arrays) and not report.unused
    assert all((a == b).all() for a, b in zip(weights_of(model), before, strict=True))


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
        ("_fc.weight", "classifier.weight"),
    ],
)
def test_a_name_of_efficientnet_pytorch_in_timm_s(theirs, ours):
    blocks = [("blocks.0.0", False), ("blocks.1.0", True), ("blocks.1.1", True), ("blocks.2.0", True)]
    assert rename(flat_block(theirs, blocks), EFFICIENTNET_TOP) == ours


def test_old_torchvision_names_of_densenet():
    model = build_twin("densenet121")
    fill(model)
    arrays, expected = arrays_of(model), weights_of(model)
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
    assert report.unused and len(report.loaded) == len(tensors(trunk)) and not report.left
    both = {layer.name: layer for layer in whole.layers}
    assert all((np.array(t.variable) == w).all() for t, w in trunk_weights(trunk, both))
    with pytest.raises(ValueError, match="in keras's layout"):
        load_weights(trunk, tmp_path / "net.weights.h5", format="timm")


def trunk_weights(trunk, layers):
    for tensor in tensors(trunk):
        same = next(v for v in layers[tensor.layer].weights if v.name == tensor.variable.name)
        yield tensor, np.array(same)


def test_vgg_without_top_takes_the_names_of_torchvision_and_timm():
    trunk = build_twin("vgg11", include_top=False)
    fill(trunk)
    arrays = arrays_of(trunk)
    tops = [("classifier.0", "classifier.3", "classifier.6"), ("pre_logits.fc1", "pre_logits.fc2", "head.fc")]
    for top in tops:
        extra = {f"{layer}.{part}": np.zeros((4, 4)) for layer in top for part in ("weight", "bias")}
        assert len(load_weights(trunk, {**arrays, **extra}).unused) == 6


def test_a_bias_is_folded_into_the_normalisation_that_follows(net):
    arrays = arrays_of(net)
    bias = np.linspace(-1, 1, 64).astype(np.float32)
    report = load_weights(net, {**arrays, "layer1.0.conv1.bias": bias})
    assert report.adapted == ("layer1.0.bn1.running_mean: less layer1.0.conv1.bias",)
    mean = np.array(net.get_layer("layer1.0.bn1").moving_mean)
    assert np.allclose(mean, arrays["layer1.0.bn1.running_mean"] - bias, atol=1e-6)
    with pytest.raises(ValueError, match=r"'fc9.bias'"):
        load_weights(net, {**arrays, "fc9.bias": bias})


def test_normalisations_without_scale_get_ones(net):
    arrays = arrays_of(net)
    norms = {name.removesuffix(".running_mean") for name in arrays if name.endswith(".running_mean")}
    report = load_weights(net, {n: a for n, a in arrays.items() if n.removesuffix(".weight") not in norms})
    assert len(report.adapted) == len(norms) == 20
    assert (np.array(net.get_layer("bn1").gamma) == 1).all()
    with pytest.raises(ValueError, match="1 tensors are missing"):  # one alone is a damaged file
        load_weights(net, {n: a for n, a in arrays.items() if n != "bn1.weight"})


def test_the_background_class_is_dropped(net):
    arrays = arrays_of(net)
    bias = arrays["predictions.bias"]
    for name in ("predictions.weight", "predictions.bias"):
        arrays[name] = np.concatenate([arrays[name][:1] + 9, arrays[name]])
    report = load_weights(net, arrays)
    assert len(report.adapted) == 2 and "background" in report.adapted[0]
    assert (np.array(net.get_layer("predictions").bias) == bias).all()


def test_an_error_lists_the_ten_nearest_names(net):
    arrays, whole = arrays_of(net), arrays_of(net)
    arrays["layer3.1.conv2.wieght"] = arrays.pop("layer3.1.conv2.weight")
    for wrong, asked in ((arrays, "layer3.1.conv2.weight"), ({**whole, "layer9.weight": np.zeros(3)}, "layer9.weight")):
        with pytest.raises(ValueError) as caught:
            load_weights(net, wrong)
        near = str(caught.value).split(f"Nearest to {asked!r}: ")[1]
        assert near.split("]")[0].count(",") == 9 and "\n" not in near
    with pytest.raises(ValueError, match="'layer3.1.conv2.wieght'"):
        load_weights(net, arrays)
    with pytest.raises(ValueError, match="`format` should be one of auto, torchvision"):
        load_weights(net, arrays, format="caffe")


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
    assert same(*(keras.Model(m.input, m.get_layer("layer4.1.bn2").output) for m in (first, second)))
    with pytest.raises(RuntimeError, match="mirror has no 'resnet18.a1_in1k.safetensors'"):
        create_model("resnet18", weights="a1_in1k")


@pytest.mark.parametrize(
    ("row", "arguments", "words"),
    [
        ("alexnet", {"weights": "imagenet"}, "'alexnet_torchvision' has"),
        ("lenet5", {"weights": "imagenet"}, "no row near to it"),
        ("resnet18", {"weights": "tv_in2k"}, "Did you mean 'tv_in1k'"),
        ("resnet18", {"weights": 3}, "should be either `None`"),
        ("mobilenet_v1", {"weights": "imagenet", "alpha": 0.3}, "{'alpha': 0.3}"),
        ("mobilenet_v1", {"weights": "keras_0.50", "alpha": 0.25}, "keras_0.50: {'alpha': 0.5}"),
    ],
)
def test_what_there_is_not(row, arguments, words):
    with pytest.raises(ValueError) as caught:
        build_twin(row, **arguments)
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
