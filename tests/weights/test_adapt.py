"""One checkpoint for other channels and other input sizes: what a kernel becomes, and what the network then says."""

import numpy as np
import pytest
from nets import build_twin, fill, pixels

from kerasnets.weights.fit import adapt, change_channels, image_readers, resample
from kerasnets.weights.load import load_weights
from kerasnets.weights.mapping import tensors


def as_checkpoint(model) -> dict:
    """The model's weights under PyTorch's names and in PyTorch's layouts."""
    arrays = {}
    for tensor in tensors(model):
        array = np.array(tensor.variable)
        if tensor.suffix == "weight" and array.ndim == 4:
            order = (2, 3, 0, 1) if "epthwise" in type(model.get_layer(tensor.layer)).__name__ else (3, 2, 0, 1)
            array = array.transpose(order)
            if order[0] == 2:
                array = array.reshape(-1, 1, *array.shape[2:])
        elif tensor.suffix == "weight" and array.ndim == 2:
            array = array.T
            if array.shape[1] != (inputs := model.get_layer(tensor.layer).input.shape[-1]):
                raise AssertionError(inputs)
        arrays[tensor.name()] = array
    return arrays


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


@pytest.mark.parametrize("name, channels", [("resnet18", 1), ("mobilenet_v2", 4), ("fractalnet40_cifar", 1)])
def test_only_what_sees_the_image_is_adapted(name, channels):
    source = build_twin(name, classifier_activation=None)
    fill(source)
    shape = (*source.input_shape[1:3], channels)
    model = build_twin(name, classifier_activation=None, input_shape=shape)
    report = load_weights(model, as_checkpoint(source))
    seeing = image_readers(model)
    assert {line.rpartition(".weight")[0] for line in report.adapted} == seeing and len(seeing) >= 1
    assert len(report.loaded) + len(seeing) == len(tensors(model)) and not (report.left or report.skipped)
    grey = pixels((2, *shape[:2], 1))
    expected = np.asarray(source(np.repeat(grey, 3, axis=-1)))
    np.testing.assert_allclose(model(np.repeat(grey, channels, axis=-1)), expected, atol=1e-5 * expected.std() * 10)


def test_a_kernel_inside_the_network_is_never_adapted():
    model = build_twin("mobilenet_v2")
    first, *inside = (t for t in tensors(model) if len(t.variable.shape) == 4)
    assert {first.layer} == image_readers(model)
    assert adapt("x", np.zeros((5, 5, *first.variable.shape[2:]), np.float32), first, model) is None
    for tensor in inside:
        height, width, channels, last = tensor.variable.shape
        assert adapt("x", np.zeros((height, width, channels + 1, last), np.float32), tensor, model) is None


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


def test_a_kernel_of_another_kind_is_refused():
    assert resample(np.zeros((10, 4), np.float32), (2, 2, 3)) is None
    assert resample(np.zeros((2 * 3 * 3, 4), np.float32), (2, 2, 3)) is None


@pytest.mark.parametrize("size, adapted", [(96, True), (64, False)])
def test_a_flattening_head_takes_another_input_size(size, adapted):
    source = build_twin("vgg11", input_shape=(64, 64, 3), classifier_activation=None)
    fill(source)
    arrays = as_checkpoint(source)
    first = next(name for name in arrays if name.startswith("classifier.0") and name.endswith("weight"))
    height, width, channels = source.get_layer("flatten").input.shape[1:]
    kernel = arrays[first].reshape(-1, height, width, channels)
    arrays[first] = kernel.transpose(0, 3, 1, 2).reshape(len(kernel), -1)
    model = build_twin("vgg11", input_shape=(size, size, 3), classifier_activation=None)
    report = load_weights(model, arrays)
    assert [line.split(":")[0] for line in report.adapted] == [first] * adapted and not report.left
    flat = np.full((1, 1, 1, channels), 0.5, np.float32)
    one, other = (
        np.asarray(net.get_layer("classifier.0")(np.tile(flat, (1, *_grid(net), 1)).reshape(1, -1)))
        for net in (source, model)
    )
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def _grid(model):
    return model.get_layer("flatten").input.shape[1:3]
