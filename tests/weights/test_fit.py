"""How tensors are made to fit: other channels and input sizes, folded biases, missing scales; and what is refused."""

import numpy as np
import pytest
from nets import build_twin, fill, pixels
from torch_arrays import torch_arrays

from kerasnets.build import create_model
from kerasnets.weights import mapping
from kerasnets.weights.fit import adapt, change_channels, resample
from kerasnets.weights.load import load_weights
from kerasnets.weights.mapping import SourceTensor, weight_targets


@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_a_grey_image_gives_the_same_response_with_any_channels(before, after):
    kernel = np.random.default_rng(0).standard_normal((3, 3, before, 8)).astype(np.float32)
    adapted = change_channels(kernel, after)
    assert adapted.shape == (3, 3, after, 8) and adapted.dtype == np.float32
    np.testing.assert_allclose(adapted.sum(2), kernel.sum(2), rtol=1e-5, atol=1e-5)


def test_channels_are_summed_or_repeated():
    red, green, blue = np.random.default_rng(0).standard_normal((3, 1, 1, 1, 2)).astype(np.float32)
    kernel = np.concatenate([red, green, blue], axis=2)
    np.testing.assert_allclose(change_channels(kernel, 1), red + green + blue, rtol=1e-6)
    np.testing.assert_allclose(change_channels(kernel, 2), np.concatenate([red + blue, green], 2), rtol=1e-6)
    np.testing.assert_allclose(change_channels(kernel, 4), np.concatenate([red / 2, green, blue, red / 2], 2))


@pytest.mark.parametrize(
    "name, channels, first",
    [
        ("resnet18", 1, ["conv1"]),
        ("mobilenet_v2", 4, ["conv_stem"]),
        ("fractalnet40_cifar", 1, [f"block1.column{n}.0.conv" for n in (1, 2, 3)]),
    ],
)
def test_only_the_layers_that_read_the_image_are_adapted(name, channels, first):
    source = build_twin(name, classifier_activation=None)
    fill(source)
    shape = (*source.input_shape[1:3], channels)
    model = build_twin(name, classifier_activation=None, input_shape=shape)
    report = load_weights(model, torch_arrays(source))
    assert {line.split(".weight: ")[0] for line in report.adapted} == set(first)
    assert len(report.loaded) + len(first) == len(model.weights) and not (report.kept_initial or report.skipped)
    grey = pixels((2, *shape[:2], 1))
    expected = np.asarray(source(np.repeat(grey, 3, axis=-1)))
    np.testing.assert_allclose(model(np.repeat(grey, channels, axis=-1)), expected, atol=1e-5 * expected.std() * 10)


def adapted(target, shape):
    return adapt(SourceTensor("x", shape, shape, lambda: np.zeros(shape, np.float32)), target)


def test_a_kernel_inside_the_network_is_never_adapted():
    targets = weight_targets(build_twin("mobilenet_v2")).values()
    first, *inside = (target for target in targets if len(target.shape) == 4)
    height, width, channels, filters = first.shape
    assert adapted(first, (height, width, channels + 1, filters)).read().shape == first.shape
    assert adapted(first, (5, 5, channels, filters)) is adapted(first, (*first.shape, 1)) is None
    for target in inside:
        height, width, channels, last = target.shape
        assert adapted(target, (height, width, channels + 1, last)) is None


@pytest.mark.parametrize("side, grid", [(7, (7, 7)), (7, (14, 14)), (7, (3, 5)), (2, (1, 1)), (1, (4, 3)), (6, (9, 6))])
def test_a_map_without_detail_gives_the_same_response_at_any_size(side, grid):
    channels, units = 3, 5
    kernel = np.random.default_rng(0).standard_normal((side * side * channels, units)).astype(np.float32)
    adapted = resample(kernel, (*grid, channels))
    flat = np.random.default_rng(1).standard_normal(channels)
    before = np.tile(flat, side * side) @ kernel
    np.testing.assert_allclose(np.tile(flat, grid[0] * grid[1]) @ adapted, before, rtol=1e-4, atol=1e-4)
    if grid == (side, side):
        np.testing.assert_array_equal(adapted, kernel)


def test_resampling_keeps_the_place():
    """A unit that looks at the upper left corner still does, and channels do not mix."""
    kernel = np.zeros((4, 4, 2, 1), np.float32)
    kernel[0, 0, 1] = 1.0
    adapted = resample(kernel.reshape(-1, 1), (8, 8, 2)).reshape(8, 8, 2)
    assert adapted[:2, :2, 1].sum() > 0.6 and not adapted[:, :, 0].any() and not adapted[4:, 4:].any()


def test_a_dense_kernel_that_is_not_of_a_square_map_is_refused():
    target = weight_targets(build_twin("vgg11", input_shape=(64, 64, 3)))["classifier.0.weight"]
    height, width, channels = target.flattened
    assert (height, width, height * width * channels) == (2, 2, target.shape[0])
    assert adapted(target, (9 * channels, target.shape[1])).read().shape == target.shape
    for rows in (6 * channels, 9 * channels + 1, channels - 1, 1000 * channels, 0):
        assert adapted(target, (rows, target.shape[1])) is None
    assert adapted(target, (9 * channels, target.shape[1] + 1)) is None


@pytest.mark.parametrize("size, changed", [(96, True), (64, False)])
def test_a_flattening_head_takes_another_input_size(size, changed):
    source = build_twin("vgg11", input_shape=(64, 64, 3), classifier_activation=None)
    fill(source)
    arrays = torch_arrays(source)
    first = next(name for name in arrays if name.startswith("classifier.0") and name.endswith("weight"))
    height, width, channels = source.get_layer("flatten").input.shape[1:]
    kernel = arrays[first].reshape(-1, height, width, channels)
    arrays[first] = kernel.transpose(0, 3, 1, 2).reshape(len(kernel), -1)
    model = build_twin("vgg11", input_shape=(size, size, 3), classifier_activation=None)
    report = load_weights(model, arrays)
    assert [line.split(":")[0] for line in report.adapted] == [first] * changed and not report.kept_initial
    flat = np.full((1, 1, 1, channels), 0.5, np.float32)
    one, other = (
        np.asarray(net.get_layer("classifier.0")(np.tile(flat, (1, *_grid(net), 1)).reshape(1, -1)))
        for net in (source, model)
    )
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def _grid(model):
    return model.get_layer("flatten").input.shape[1:3]


@pytest.fixture(scope="module")
def net():
    model = create_model("resnet18", input_shape=(64, 64, 3))
    fill(model)
    return model


def test_a_bias_is_folded_into_the_normalisation_that_follows(net):
    arrays = torch_arrays(net)
    bias = np.linspace(-1, 1, 64).astype(np.float32)
    report = load_weights(net, {**arrays, "layer1.0.conv1.bias": bias})
    assert report.adapted == ("layer1.0.bn1.running_mean: less layer1.0.conv1.bias",)
    mean = np.array(net.get_layer("layer1.0.bn1").moving_mean)
    assert np.allclose(mean, arrays["layer1.0.bn1.running_mean"] - bias, atol=1e-6)
    with pytest.raises(ValueError, match=r"'fc9.bias'"):
        load_weights(net, {**arrays, "fc9.bias": bias})


def test_normalisations_without_scale_get_ones(net):
    arrays = torch_arrays(net)
    norms = {name.removesuffix(".running_mean") for name in arrays if name.endswith(".running_mean")}
    report = load_weights(net, {n: a for n, a in arrays.items() if n.removesuffix(".weight") not in norms})
    assert len(report.adapted) == len(norms) == 20
    assert (np.array(net.get_layer("bn1").gamma) == 1).all()
    with pytest.raises(ValueError, match="1 tensors are missing"):  # one alone is a damaged file
        load_weights(net, {n: a for n, a in arrays.items() if n != "bn1.weight"})


def test_the_background_class_is_dropped(net):
    arrays = torch_arrays(net)
    bias = arrays["predictions.bias"]
    for name in ("predictions.weight", "predictions.bias"):
        arrays[name] = np.concatenate([arrays[name][:1] + 9, arrays[name]])
    report = load_weights(net, arrays)
    assert len(report.adapted) == 2 and "background" in report.adapted[0]
    assert (np.array(net.get_layer("predictions").bias) == bias).all()


def test_an_error_lists_the_ten_nearest_names(net):
    arrays, whole = torch_arrays(net), torch_arrays(net)
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


def test_one_load_looks_at_each_weight_of_the_model_once(net, monkeypatch, tmp_path):
    """Whatever the file: names, shapes and adaptations all come from one list of targets."""
    made, original = [], mapping.WeightTarget
    monkeypatch.setattr(mapping, "WeightTarget", lambda *facts: made.append(facts) or original(*facts))
    net.save_weights(tmp_path / "net.weights.h5")
    other_channels = {**torch_arrays(net), "conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}
    for source in (torch_arrays(net), other_channels, tmp_path / "net.weights.h5"):
        made.clear()
        load_weights(net, source)
        assert len(made) == len(net.weights) == 102
