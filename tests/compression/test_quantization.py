"""Quantisation-aware networks round where their int8 file rounds, and the file has exactly the trained ranges."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from nets import build_twin, fill, pixels

import kerasnets
from kerasnets.compression.quantization import (
    freeze_statistics,
    is_quantization_aware,
    quantization_aware,
    set_rounding,
    without_rounding,
)
from kerasnets.compression.quantization_bias import round_biases
from kerasnets.compression.quantization_file import fixed, without_norms
from kerasnets.compression.quantization_ranges import calibrate
from kerasnets.data.images.per_image import normalise
from kerasnets.exporters.open_network import probabilities
from kerasnets.exporters.tflite import load_tflite, read_ops, summarise_ops, tflite_bytes
from kerasnets.graph.fold import inference_form
from kerasnets.layers.fake_quantize import FakeQuantize, QuantizedConv2D, quantized_kernel
from kerasnets.registry import Preprocessing

# Fused ReLU and additions; ReLU6 and depthwise; swish and squeeze-and-excitation; hard swish and hard sigmoid;
# concatenation; normalisation that cannot be folded; groups.
KINDS = (
    "resnet20_cifar",
    "mobilenet_v2",
    "efficientnet_b0",
    "mobilenet_v3_small",
    "squeezenet1_0",
    "densenet40_12_cifar",
)
KINDS += ("resnext50_32x4d",)


def images(network, count: int = 48) -> np.ndarray:
    """Pixels of random squares, which are less alike than noise."""
    height, width, channels = network.input_shape[1:]
    coarse = np.random.default_rng(0).integers(0, 256, (count, -(-height // 8), -(-width // 8), channels))
    return coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width].astype("uint8")


def ranged(name: str):
    """A filled network, its quantisation-aware form with ranges from images, and the images."""
    network = build_twin(name)
    fill(network)
    aware = quantization_aware(network)
    found = images(network)
    calibrate(aware, kerasnets.preprocess_input(found.astype("float32"), network), by_error=False)
    return network, aware, found


def scales(path) -> np.ndarray:
    details = Interpreter(str(path)).get_tensor_details()
    found = [each["quantization_parameters"]["scales"] for each in details]
    return np.array(sorted({float(each[0]) for each in found if len(each) == 1}))


@pytest.mark.parametrize(
    "name", [KINDS[0], KINDS[3], *(pytest.param(n, marks=pytest.mark.slow) for n in KINDS[1:3] + KINDS[4:])]
)
def test_file_has_the_trained_ranges_and_the_networks_answers(name, tmp_path):
    network, aware, found = ranged(name)
    path = tmp_path / "net.tflite"
    bounds = {"top1_agreement": None, "accuracy_drop": None}
    kerasnets.export(aware, "tflite-int8", found, path, allow_random=True, bounds=bounds, examples=8)
    ops = summarise_ops(read_ops(path), quantised=True)
    assert ops["float_islands"] == []
    there = scales(path)
    for layer in aware.layers:
        if isinstance(layer, FakeQuantize) and layer.fixed is None:
            low, high = layer.range
            assert np.abs(there / ((high - low) / 255) - 1).min() < 1e-5, layer.name
    expected, actual = probabilities(aware, found, network.preprocessing), load_tflite(path).run(found)
    # The softmax is in float32: no steps of 1/256, which give many classes the same probability.
    assert np.abs(256 * actual - np.rint(256 * actual)).max() > 0.1
    # Sums in float32 and in integers may differ by a step of some tensor.
    assert np.abs(actual - expected).max() < 0.05
    assert (actual.argmax(-1) == expected.argmax(-1)).mean() > 0.9


def test_rounding_a_kernel_commutes_with_folding():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("float32")
    scale = np.random.default_rng(1).uniform(0.1, 9, 6).astype("float32")
    rounded = np.asarray(quantized_kernel(kernel))
    np.testing.assert_allclose(rounded * scale, quantized_kernel(kernel * scale), rtol=1e-5, atol=1e-6)
    steps = rounded / (np.abs(kernel).max((0, 1, 2)) / 127)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert len(np.unique(np.rint(steps[..., 0]))) > 30
    depthwise = np.asarray(quantized_kernel(kernel, depthwise=True))
    np.testing.assert_allclose(
        depthwise[..., 1, 2], quantized_kernel(kernel[..., 1, 2].reshape(9, 1)).numpy().reshape(3, 3)
    )


def test_a_range_follows_training_and_clips():
    layer = FakeQuantize(momentum=0.5)
    x = np.array([[-1.0, 3.0]], "float32")
    layer(x, training=True)
    assert layer.range == (-1.0, 3.0)
    layer(3 * x, training=True)
    assert layer.range == (-2.0, 6.0)
    layer.observing = False
    layer(9 * x, training=True)
    assert layer.range == (-2.0, 6.0)
    assert np.asarray(layer(9 * x)).max() == pytest.approx(6.0, abs=8 / 255)
    layer.active = False
    assert np.asarray(layer(9 * x)).max() == 27.0


def test_no_pixel_lies_in_the_middle_of_two_steps():
    """With a range of -1 to 1 every pixel would, and the file would round each to another step than Keras does."""
    layer = FakeQuantize()
    layer.build((None, 1))
    layer.set_range(-1.0, 1.0)
    exact = (np.arange(256, dtype="float32") - 127.5) / 127.5
    rounded = np.asarray(layer(exact))
    # An error of a bias in the file: half a step of 1/127 of a pixel.
    for error in (-0.5 / 127, 0.5 / 127):
        np.testing.assert_array_equal(np.asarray(layer(exact + np.float32(error / 127.5))), rounded)
    assert np.abs(rounded - exact).max() <= 1 / 126 / 2 + 1e-6
    low, high = layer.range
    assert low <= -1 and high >= 1 and low / (high - low) * 255 == pytest.approx(round(low / (high - low) * 255))
    layer.set_range(-0.9, 1.3)
    assert layer.range == pytest.approx((-0.9, 1.3))


@pytest.mark.parametrize(
    ("mean", "std"), [((127.5,) * 3, (127.5,) * 3), ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))]
)
def test_file_and_network_round_alike_where_biases_are_whole(mean, std, tmp_path):
    """Two of the map's values in 100,000 may differ, where float32 is not exact enough."""
    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.BatchNormalization(name="alone")(keras.layers.MaxPooling2D(2, name="pool")(x))
    outputs = keras.layers.DepthwiseConv2D(3, activation="relu6", name="depthwise")(x)
    network = keras.Model(inputs, outputs, name="small")
    fill(network)
    aware, found = quantization_aware(network), images(network, 400)
    numbers = Preprocessing(16, 1.0, "bilinear", mean, std)
    calibrate(aware, normalise(found[:64], numbers), by_error=False)
    low, high = aware.layers[-1].range

    def share() -> float:
        path = tmp_path / "map.tflite"
        path.write_bytes(tflite_bytes(fixed(without_norms(inference_form(aware))), numbers, "tflite-int8"))
        steps = (load_tflite(path).run(found) - probabilities(aware, found, numbers)) / ((high - low) / 255)
        return float((np.abs(steps) > 0.5).mean())

    assert 0 < share() < 0.01
    before = [w.numpy() for w in aware.weights]
    assert round_biases(aware) == 3
    assert 0 < max(np.abs(w.numpy() - old).max() for w, old in zip(aware.weights, before, strict=True)) < 1e-2
    assert share() < 2e-5


def test_no_range_stands_between_a_convolution_and_its_activation():
    aware = quantization_aware(build_twin("resnet20_cifar"))
    for layer in aware.layers:
        if isinstance(layer, FakeQuantize):
            assert not isinstance(layer._inbound_nodes[0].parent_nodes[0].operation, QuantizedConv2D), layer.name
    assert [w.path for w in build_twin("resnet20_cifar").weights] == [
        w.path for w in aware.weights if w.path.split("/")[-1] not in ("low", "high")
    ]


def test_without_rounding_it_is_the_network_it_was():
    network = build_twin("mobilenet_v3_small")
    fill(network)
    aware, x = quantization_aware(network), pixels((2, *network.input_shape[1:]))
    expected = network(x).numpy()
    assert np.abs(aware(x).numpy() - expected).max() > 0
    np.testing.assert_allclose(without_rounding(aware)(x), expected, atol=1e-6)
    set_rounding(aware, False)
    np.testing.assert_allclose(aware(x), expected, atol=1e-6)


def test_frozen_statistics_stay():
    aware = quantization_aware(build_twin("resnet20_cifar"))
    x = pixels((4, *aware.input_shape[1:]))
    aware(x, training=True)
    freeze_statistics(aware)
    before = [w.numpy() for w in aware.weights if not w.trainable]
    aware(2 * x, training=True)
    assert all(
        (a == b.numpy()).all() for a, b in zip(before, [w for w in aware.weights if not w.trainable], strict=True)
    )


def test_a_trained_network_is_saved_and_read(tmp_path):
    aware = quantization_aware(build_twin("resnet20_cifar"))
    x = pixels((4, *aware.input_shape[1:]))
    aware(x, training=True)
    aware.save(tmp_path / "net.keras")
    loaded = kerasnets.load_model(tmp_path / "net.keras")
    assert is_quantization_aware(loaded) and loaded.preprocessing == aware.preprocessing
    np.testing.assert_array_equal(loaded(x), aware(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: quantization_aware(quantization_aware(build_twin("resnet20_cifar"))), "quantised already"),
        (lambda: quantization_aware(build_twin("resnet20_cifar"), keep_float=["convv1"]), "keep_float"),
        (
            lambda: quantization_aware(build_twin("resnet110_stochastic_depth_cifar", stochastic_depth=0.5)),
            "hold other layers",
        ),
    ],
)
def test_wrong_requests_are_one_line(make, message):
    with pytest.raises(ValueError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_mixed_precision_is_refused_in_one_line():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_twin("resnet20_cifar")
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="float32 only") as raised:
        quantization_aware(network)
    assert "\n" not in str(raised.value)


def test_an_untrained_range_is_not_exported(tmp_path):
    aware = quantization_aware(build_twin("resnet20_cifar"))
    with pytest.raises(ValueError, match="train it before the export"):
        kerasnets.export(aware, "tflite-int8", images(aware), tmp_path / "net.tflite", allow_random=True)
    assert not list(tmp_path.iterdir())
