"""Deformable convolution against torchvision's outputs, the plain convolution, numbers and files."""

import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden_files import golden

from kerasnets.layers.deformable_conv import DeformableConv2D

CASES = golden("torchvision__deform_conv2d")["cases"]
SCALES = {"x": 1.0, "weight": 0.3, "bias": 0.1, "offset": 1.5, "mask": 1.0}


def arrays(case):
    """The case's arrays by name (goldens/README.md), (batch, channels, height, width) turned to channels last."""
    found = {}
    for name, shape in case["shapes"].items():
        rng = np.random.default_rng(zlib.crc32(f"{case['name']}.{name}".encode()))
        value = (rng.standard_normal(shape) * SCALES[name]).astype(np.float32)
        kernel_axes, image_axes = (2, 3, 1, 0), (0, 2, 3, 1)
        axes = kernel_axes if name == "weight" else image_axes
        found[name] = value.transpose(axes) if value.ndim == 4 else value
    return found


def layer_and_inputs(case):
    a = arrays(case)
    layer = DeformableConv2D(
        a["weight"].shape[-1],
        3,
        case["stride"],
        modulated=case["mask"],
        use_bias=True,
        dilation_rate=case["dilation"],
        groups=case["groups"],
        offset_groups=case["offset_groups"],
    )
    offsets = np.concatenate([a["offset"], a["mask"]], -1) if case["mask"] else a["offset"]
    layer.build([a["x"].shape, offsets.shape])
    layer.set_weights([a["weight"], a["bias"]])
    return layer, tf.constant(a["x"]), tf.constant(offsets)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_torchvision(case):
    layer, x, offsets = layer_and_inputs(case)
    expected = np.moveaxis(np.reshape(case["output"], case["output_shape"]), 1, -1)
    np.testing.assert_allclose(layer([x, offsets]), expected, atol=1e-5)
    np.testing.assert_allclose(tf.function(lambda a, b: layer([a, b]))(x, offsets), expected, atol=1e-5)


@pytest.mark.parametrize("modulated", [False, True])
def test_offsets_of_zero_are_the_plain_convolution(modulated):
    layer = DeformableConv2D(5, 3, 2, modulated=modulated)
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype("float32")
    y = layer([x, np.zeros((2, 4, 3, 27 if modulated else 18), "float32")])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    plain = tf.nn.conv2d(padded, layer.kernel.value, 2, "VALID")
    np.testing.assert_allclose(y, plain * (0.5 if modulated else 1.0), atol=1e-5)


@pytest.mark.parametrize("case", [CASES[2], CASES[4]], ids=lambda case: case["name"])
def test_gradient_is_the_numerical_one(case):
    """Map, offsets, mask and kernel, each along a random direction."""
    layer, x, offsets = layer_and_inputs(case)
    kernel = tf.constant(layer.kernel.numpy())
    rng = np.random.default_rng(0)
    weights = tf.constant(rng.standard_normal(layer([x, offsets]).shape), tf.float32)

    def loss(a, b, k):
        layer.kernel.assign(k)
        return float(tf.reduce_sum(tf.cast(layer([a, b]) * weights, tf.float64)))

    with tf.GradientTape() as tape:
        tape.watch([x, offsets])
        y = tf.reduce_sum(layer([x, offsets]) * weights)
    gradients = tape.gradient(y, [x, offsets, layer.kernel.value])
    step = 1e-3
    for i, (value, gradient) in enumerate(zip((x, offsets, kernel), gradients, strict=True)):
        # Offsets that are not near a whole number: the bilinear weights have a kink there.
        direction = rng.standard_normal(value.shape).astype("float32")
        if i == 1:
            direction *= np.abs(offsets - np.round(offsets)) > 10 * step * np.abs(direction)
        ahead, behind = ([x, offsets, kernel] for _ in range(2))
        ahead[i], behind[i] = value + step * direction, value - step * direction
        numerical = (loss(*ahead) - loss(*behind)) / (2 * step)
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(numerical, rel=2e-2, abs=5e-2)


def test_reload_and_mixed_precision(tmp_path):
    x, offsets = keras.Input((6, 6, 4)), keras.Input((6, 6, 27))
    model = keras.Model([x, offsets], DeformableConv2D(3, modulated=True, dilation_rate=2)([x, offsets]))
    values = [np.random.default_rng(i).standard_normal((1, 6, 6, c)).astype("float32") for i, c in enumerate((4, 27))]
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(values), model(values))
    half = DeformableConv2D(3, modulated=True, dtype="mixed_float16")
    assert half([v.astype("float16") for v in values]).dtype == tf.float16


def test_wrong_number_of_offsets():
    with pytest.raises(ValueError, match="should have 18 channels"):
        DeformableConv2D(3)([np.zeros((1, 4, 4, 2), "float32"), np.zeros((1, 4, 4, 9), "float32")])
