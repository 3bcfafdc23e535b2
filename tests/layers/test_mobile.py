"""Squeeze-and-excitation, ScheduledDropPath and TensorFlow's padding as a layer, against plain NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import fill, outline, pixels

from kerasnets.architectures import efficientnet, nasnet  # noqa: F401
from kerasnets.blocks.inverted_residual import round_channels
from kerasnets.blocks.squeeze_excite import squeeze_excite
from kerasnets.build import create_model
from kerasnets.layers.same_padding import SameZeroPadding2D
from kerasnets.layers.scheduled_drop_path import ScheduledDropPath, TrainingProgress, set_training_progress
from kerasnets.registry import get_variant


def drop_path_model(rate=0.5, seed=3):
    inputs = keras.Input((2, 3, 4))
    progress = TrainingProgress(name="training_progress")(inputs)
    return keras.Model(inputs, ScheduledDropPath(rate, seed=seed, name="drop")([inputs, progress]))


def test_squeeze_excite():
    inputs = keras.Input((3, 5, 8))
    model = keras.Model(inputs, squeeze_excite(inputs, 2, name="se", gate="hard_sigmoid"))
    fill(model)
    x = pixels((2, 3, 5, 8))
    w1, b1, w2, b2 = (np.asarray(v) for n in ("se.fc1", "se.fc2") for v in model.get_layer(n).weights)
    hidden = np.maximum(x.mean((1, 2)) @ w1[0, 0] + b1, 0)
    gate = np.clip((hidden @ w2[0, 0] + b2) / 6 + 0.5, 0, 1)
    np.testing.assert_allclose(model(x), x * gate[:, None, None], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("channels", "rounded"), [(3, 8), (11.2, 16), (12, 16), (35.2, 32), (44.8, 48), (179.2, 176)])
def test_round_channels(channels, rounded):
    assert round_channels(channels) == rounded


def test_nothing_is_dropped_at_the_start_or_at_inference():
    model, x = drop_path_model(), pixels((8, 2, 3, 4))
    np.testing.assert_array_equal(model(x, training=True), x)
    set_training_progress(model, 1.0)
    np.testing.assert_array_equal(model(x, training=False), x)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_paths_are_dropped_as_often_as_the_schedule_says(share):
    model, x = drop_path_model(), np.ones((2000, 2, 3, 4), np.float32)
    set_training_progress(model, share)
    y = np.asarray(tf.function(model)(x, training=True))
    keep = 1 - 0.5 * share
    assert (np.ptp(y, axis=(1, 2, 3)) == 0).all()  # whole images
    np.testing.assert_allclose(np.unique(y), [0, 1 / keep], rtol=1e-6)
    assert abs((y[:, 0, 0, 0] > 0).mean() - keep) < 0.05


def test_gradient_is_the_mask():
    model, x = drop_path_model(), tf.constant(pixels((6, 2, 3, 4)))
    set_training_progress(model, 1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    gradient = tape.gradient(y, x).numpy()
    np.testing.assert_allclose(gradient * x.numpy(), y, rtol=1e-6)
    assert set(np.unique(gradient)) <= {0.0, 2.0}


def test_drop_path_reloads_with_its_progress_and_keeps_half_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = drop_path_model()
    finally:
        keras.config.set_dtype_policy("float32")
    set_training_progress(model, 0.75)
    assert model(pixels((4, 2, 3, 4)), training=True).dtype == "float16"
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert float(again.get_layer("training_progress").progress) == 0.75
    assert again.get_layer("drop").rate == 0.5


def test_drop_path_refuses_a_rate_of_one():
    with pytest.raises(ValueError, match="rate"):
        ScheduledDropPath(1.0)


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("known", [True, False])
def test_padding_is_tensorflows(size, known):
    inputs = keras.Input((size, size, 2) if known else (None, None, 2))
    padded = SameZeroPadding2D(3, 2)(inputs)
    model = keras.Model(inputs, keras.layers.AveragePooling2D(3, 2)(padded))
    x = pixels((1, size, size, 2))
    ones = np.ones((3, 3, 2, 1), np.float32) / 9
    expected = tf.nn.depthwise_conv2d(x, ones, [1, 2, 2, 1], "SAME")
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
    assert not known or model.output.shape[1:] == expected.shape[1:]


def test_nasnet_scales_its_drop_rate_by_cell():
    variant = get_variant("nasnet_mobile")
    small = variant.spec._replace(cells=1, filters=8, stem=8)
    inputs = keras.Input((32, 32, 3))
    model = outline(lambda: keras.Model(inputs, variant.body(inputs, small, drop_path=0.7)))
    rates = {layer.rate for layer in model.layers if hasattr(layer, "rate")}
    np.testing.assert_allclose(sorted(rates), 0.7 * np.arange(1, 8) / 7)


def test_efficientnet_scales_its_drop_rate_by_block():
    model = outline(create_model, "efficientnet_b0", stochastic_depth=0.32)
    rates = [layer.rate for layer in model.layers if layer.name.endswith(".drop")]
    with_shortcut = [2, 4, 6, 7, 9, 10, 12, 13, 14]
    np.testing.assert_allclose(rates, 0.32 * np.array(with_shortcut) / 16)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("nasnet_mobile", 7_701_218), pytest.param("nasnet_large", 93_320_934, marks=pytest.mark.slow)],
)
def test_parameters_with_the_auxiliary_head(name, parameters):
    model = outline(create_model, name, aux_heads=True)
    assert list(model.output) == ["predictions", "aux1"]
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters


def test_silu_is_tensorflows_with_its_gradients(tmp_path):
    from kerasnets.layers.silu import silu

    x = tf.constant(np.linspace(-30, 30, 2001), tf.float32)

    def gradients(function):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            first = inner.gradient(y, x)
        return y, first, outer.gradient(first, x)

    *found, second = gradients(silu)
    for ours, theirs in zip(found, gradients(tf.nn.silu), strict=False):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    s = 1 / (1 + np.exp(-x.numpy().astype("float64")))
    np.testing.assert_allclose(second, s * (1 - s) * (2 + x.numpy() * (1 - 2 * s)), atol=1e-6)
    assert silu(tf.cast(x, tf.bfloat16)).dtype == tf.bfloat16
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Activation(silu)(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x[:4][None]), model(x[:4][None]))
