"""Quantisation after training: ranges, equalisation, biases, the table of layers, layers left in float."""

import keras
import numpy as np
import pytest
from nets import build_twin, fill

import kerasnets
from kerasnets.compression.quantization import quantization_aware
from kerasnets.compression.quantization_debug import worst_layers
from kerasnets.compression.quantization_equalize import correct_biases, equalize, pairs
from kerasnets.compression.quantization_graph import unknown_layers
from kerasnets.compression.quantization_post import can_round, rounded
from kerasnets.compression.quantization_ranges import Values, calibrate
from kerasnets.exporters.files import ExportError
from kerasnets.exporters.quantize_debug import advice, quantize_debug
from kerasnets.exporters.tflite import load_tflite, read_ops
from kerasnets.graph.fold import inference_form
from kerasnets.graph.walk import producer

ANY = {"top1_agreement": None, "accuracy_drop": None}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Pixels of random squares."""
    return np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3)).repeat(4, 1).repeat(4, 2).astype("uint8")


def uneven_network() -> keras.Model:
    """A network whose first map has channels of very different size, and a kernel with one far weight."""
    x = inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="conv1")(x)
    x = keras.layers.ReLU(name="relu1")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.Activation("relu6", name="relu2")(x)
    x = keras.layers.Conv2D(8, 3, padding="same", name="conv2")(x)
    x = keras.layers.ReLU(name="relu3")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="predictions")(x), name="uneven")
    fill(model)
    model.get_layer("conv1").kernel.assign(model.get_layer("conv1").kernel * np.geomspace(0.02, 2, 8).astype("float32"))
    return model


def inputs_of(images) -> np.ndarray:
    return images.astype("float32") / 127.5 - 1


def error(model, images, expected) -> float:
    return float(np.sqrt(np.mean((model(inputs_of(images)).numpy() - expected) ** 2)))


def test_the_best_range_clips_rare_values_and_keeps_common_ones():
    values, rng = Values(), np.random.default_rng(0)
    for _ in range(20):
        values.add(np.abs(rng.normal(size=(8, 2000))))
    assert (values.low, values.high) == (0.0, pytest.approx(4.5, abs=1.0))
    plain = values.best_range()
    values.add(np.full((1, 1), 60.0))
    low, high = values.best_range()
    assert low == 0.0 and high < 50 and plain[1] > 3
    even = Values()
    even.add(rng.uniform(-1, 1, (8, 4000)))
    assert even.best_range() == pytest.approx((-1, 1), abs=0.05)


def test_equalisation_changes_no_answer_and_makes_channels_equal(images):
    model = uneven_network()
    folded = inference_form(model)
    names = [(first.name, producer(end).name, [each.name for each in after]) for first, end, after in pairs(folded)]
    # Behind ReLU6 no channel can be scaled; the pooled map is read by the classifier.
    assert names == [("conv1", "relu1", ["depthwise"]), ("conv2", "pool", ["predictions"])]
    expected = model(inputs_of(images)).numpy()
    assert equalize(folded, inputs_of(images)) == 2
    np.testing.assert_allclose(folded(inputs_of(images)), expected, atol=1e-5)
    largest = np.asarray(keras.Model(folded.inputs, folded.get_layer("relu1").output)(inputs_of(images))).max((0, 1, 2))
    before = np.asarray(keras.Model(model.inputs, model.get_layer("relu1").output)(inputs_of(images))).max((0, 1, 2))
    used = before > 0
    assert largest[used].max() / largest[used].min() < 1.2 < 5 < before[used].max() / before[used].min()


def test_biases_take_up_the_mean_error_of_kernels(images):
    folded = inference_form(uneven_network())
    aware = quantization_aware(folded)
    x = inputs_of(images)
    means = {}
    for when in ("before", "after"):
        if when == "after":
            assert correct_biases(aware, folded, x) == 4
        for name in ("depthwise", "conv2"):
            exact = keras.Model(folded.inputs, folded.get_layer(name).input)(x)
            gap = aware.get_layer(name)(exact) - folded.get_layer(name)(exact)
            means[name, when] = np.abs(np.mean(gap, (0, 1, 2))).mean()
    assert means["conv2", "after"] < means["conv2", "before"] / 2
    assert means["depthwise", "after"] < means["depthwise", "before"] / 2


def test_improved_is_closer_than_plain(images):
    model = uneven_network()
    expected = model(inputs_of(images)).numpy()
    plain, better = (rounded(inference_form(model), inputs_of(images), improved=each) for each in (False, True))
    assert error(better, images, expected) < 0.7 * error(plain, images, expected)


def test_calibration_stops_when_the_ranges_have_settled():
    folded = inference_form(uneven_network())
    many = np.random.default_rng(0).uniform(-1, 1, (512, 32, 32, 3)).astype("float32")
    assert calibrate(quantization_aware(folded), many) < 512


@pytest.mark.slow
def test_the_table_finds_the_spoiled_layer(images, tmp_path):
    model = uneven_network()
    kernel = model.get_layer("conv2").kernel.numpy()
    kernel[0, 0, 0] = 60.0  # one weight sets the scale of each channel, and all others round to nothing
    model.get_layer("conv2").kernel.assign(kernel)
    numbers = {"mean": [127.5] * 3, "std": [127.5] * 3}
    rows = quantize_debug(model, images, preprocessing=numbers)
    assert rows[0].layer == "all" and rows[1].layer == "conv2" and rows[1].kernel > rows[1].output
    assert {"conv1", "depthwise", "conv2", "predictions"} < {row.layer for row in rows}
    assert worst_layers(rows)[0] == "conv2" and "--keep-float conv2" in advice(rows)
    settings = {"preprocessing": numbers, "bounds": ANY, "allow_random": True}
    kept = {}
    for keep in ((), ("conv2",)):
        path = tmp_path / f"net{len(keep)}.tflite"
        report = kerasnets.export(model, "tflite-int8", images, path, keep_float=keep, **settings)
        kept[keep] = report["largest_difference"]
        assert len(report["float_islands"]) == len(keep)
        assert [op["op"] for op in read_ops(path)].count("DEQUANTIZE") == 1 + len(keep)
    assert kept[("conv2",)] < kept[()] / 2
    with pytest.raises(ExportError, match="operators in float: CONV_2D"):
        kerasnets.export(
            model, "tflite-int8", images, tmp_path / "s.tflite", keep_float=["conv2"], strict=True, **settings
        )
    assert not (tmp_path / "s.tflite").exists()


@pytest.mark.parametrize("name", ["depthwise", "predictions"])
def test_each_kind_of_layer_can_stay_in_float(name, images, tmp_path):
    model = uneven_network()
    numbers = {"mean": [127.5] * 3, "std": [127.5] * 3}
    report = kerasnets.export(
        model, "tflite-int8", images, tmp_path / "n.tflite", preprocessing=numbers, bounds=ANY, allow_random=True,
        keep_float=[name],
    )  # fmt: skip
    assert len(report["float_islands"]) == 1 and report["largest_difference"] < 0.05
    expected = model(inputs_of(images)).numpy()
    assert np.abs(load_tflite(tmp_path / "n.tflite").run(images) - expected).max() < 0.05


def test_unknown_layers_are_left_to_the_converter():
    assert can_round(build_twin("mobilenet_v2")) and not can_round(build_twin("googlenet"))
    assert unknown_layers(build_twin("googlenet"))[0].startswith("LocalResponseNormalization")


@pytest.mark.parametrize(
    ("form", "keep", "message"),
    [("tflite-int8", ["conv9"], "Did you mean"), ("tflite", ["conv2"], "works for tflite-int8")],
)
def test_wrong_layers_to_keep_are_one_line(form, keep, message, images, tmp_path):
    with pytest.raises(ValueError, match=message) as raised:
        kerasnets.export(
            uneven_network(), form, images, tmp_path / "n.tflite", keep_float=keep, allow_random=True,
            preprocessing={"mean": [127.5] * 3, "std": [127.5] * 3},
        )  # fmt: skip
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())
