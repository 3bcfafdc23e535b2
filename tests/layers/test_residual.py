"""Layers of the residual line: grouped convolution, stochastic depth, drop-path, ResNeXt's forms, recomputation."""

import fresh
import keras
import numpy as np
import pytest
import tensorflow as tf
from aggregated import early_concatenation, grouped_convolution, split_transform_merge
from nets import build_twin, fill, pixels, twin

from kerasnets.build import build
from kerasnets.layers.edge_padding import EdgePadding2D
from kerasnets.layers.fractal_join import FractalJoin, PathSampler
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.stochastic_depth import StochasticDepth
from kerasnets.registry import get_variant

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype("float32")


def value_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.sin(y))
    return [y, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])]


@pytest.mark.parametrize("compiled", ["eager", "graph", "xla"])
@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}], ids=str)
def test_grouped_convolution_is_dense_ones_side_by_side(options, compiled):
    layer, x = GroupedConv2D(12, 3, groups=4, **options), tf.constant(normal(2, 9, 8, 8))
    layer.build(x.shape)
    parts = [keras.layers.Conv2D(3, 3, **options) for _ in range(4)]
    for i, part in enumerate(parts):
        part.build((None, 9, 8, 2))
        part.set_weights([w[..., 3 * i : 3 * i + 3] for w in layer.get_weights()])
    expected = [value_and_gradients(p, x[..., 2 * i : 2 * i + 2]) for i, p in enumerate(parts)]
    run = {"eager": lambda f: f, "graph": tf.function, "xla": lambda f: tf.function(f, jit_compile=True)}[compiled]
    got = run(lambda a: value_and_gradients(layer, a))(x)
    for i, value in enumerate(got):
        np.testing.assert_allclose(value, np.concatenate([e[i] for e in expected], axis=-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_grouped_convolution_in_mixed_precision(policy):
    layer, x = GroupedConv2D(8, 3, groups=2, dtype=policy), tf.constant(normal(2, 6, 6, 4))
    y, gradient, *_ = value_and_gradients(layer, tf.cast(x, policy.removeprefix("mixed_")))
    assert y.dtype == policy.removeprefix("mixed_") and np.isfinite(np.asarray(gradient, "float32")).all()


def test_three_forms_of_resnext():
    x, kernels = normal(2, 5, 6, 8), (normal(1, 1, 8, 12), normal(3, 3, 3, 12), normal(1, 1, 12, 8))
    first = split_transform_merge(x, *kernels)
    np.testing.assert_allclose(early_concatenation(x, *kernels), first, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grouped_convolution(x, *kernels), first, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("scale", ["train", "test"])
def test_stochastic_depth_on_average(mode, scale):
    layer, x = StochasticDepth(0.3, mode=mode, scale=scale, seed=7), np.ones((4, 2), "float32")
    draw = tf.function(lambda: layer(x, training=True))
    draws = np.stack([np.asarray(draw()) for _ in range(400)])
    shares = (draws[:, :, 0] > 0).mean(axis=1)
    assert set(shares) == {0.0, 1.0} if mode == "batch" else len(set(shares)) > 2
    # Four standard deviations of the mean of 400 decisions.
    assert draws.mean() == pytest.approx(float(np.asarray(layer(x)).mean()), abs=4 * np.sqrt(0.21 / 400) / 0.7)
    again = StochasticDepth(0.3, mode=mode, scale=scale, seed=7)
    np.testing.assert_array_equal(np.stack([np.asarray(again(x, training=True)) for _ in range(20)]), draws[:20])


@pytest.mark.parametrize("name", ["resnet110_v2_cifar", "resnet164_v2_cifar"])
def test_the_first_preactivation_is_common_to_both_paths(name):
    """He et al. 2016, appendix: right after conv1 and before splitting into two paths."""
    model = build_twin(name, classifier_activation=None)
    fill(model)
    last = "layer1.0.conv2" if "110" in name else "layer1.0.conv3"
    activated, branch, output = (model.get_layer(layer).output for layer in ("layer1.0.relu1", last, "layer1.0"))
    taps = keras.Model(model.input, [activated, branch, output])(pixels((2, *model.input_shape[1:])))
    activated, branch, output = (np.asarray(tap) for tap in taps)
    if "164" in name:  # from 16 to 64 channels: a 1x1 convolution of the same activation
        activated = activated @ np.asarray(model.get_layer("layer1.0.downsample.0").kernel)[0, 0]
    np.testing.assert_allclose(output, activated + branch, rtol=1e-4, atol=1e-4)


def test_stochastic_depth_refuses():
    for wrong in ({"rate": 1.0}, {"rate": 0.5, "mode": "block"}, {"rate": 0.5, "scale": "never"}):
        with pytest.raises(ValueError, match="Received"):
            StochasticDepth(**wrong)


REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasnets.layers.stochastic_depth import StochasticDepth

def outputs(strategy, mode):
    with strategy.scope():
        layer = StochasticDepth(0.5, mode=mode, seed=3)
        layer.build((None, 1))
    batches = tf.data.Dataset.from_tensor_slices(np.ones((32, 1), "f")).batch(8)
    batches = strategy.experimental_distribute_dataset(batches)
    step = tf.function(lambda x: strategy.run(lambda part: layer(part, training=True), args=(x,)))
    return np.concatenate([v for x in batches for v in strategy.experimental_local_results(step(x))])

for mode in ("sample", "batch"):
    one = outputs(tf.distribute.get_strategy(), mode)
    two = outputs(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), mode)
    assert (one == two).all() and 0 < one.mean() < 1, mode
print("the same")
"""


@pytest.mark.slow
def test_stochastic_depth_on_two_devices():
    done = fresh.run("-c", REPLICAS)
    assert "the same" in done.stdout, done.stderr[-1000:]


def test_drop_path_on_average_and_never_empty():
    columns = [np.full((1, 1, 1, 1), v, "float32") for v in (1.0, 2.0, 4.0)]
    sampler, join = PathSampler(3, seed=1), FractalJoin(0.5, seed=2)
    draw = tf.function(lambda: (path := sampler(columns[0], training=True), join([path, *columns], training=True)))
    paths, values = zip(*(draw() for _ in range(600)), strict=True)
    assert np.mean(paths, axis=0) == pytest.approx([1 / 6] * 3, abs=0.07)
    values = np.array([np.asarray(value).item() for value in values])
    chosen = np.argmax(paths, axis=1)[np.sum(paths, axis=1) > 0]
    np.testing.assert_allclose(values[np.sum(paths, axis=1) > 0], np.array([1.0, 2.0, 4.0])[chosen])
    assert values.min() >= 1 and values.mean() == pytest.approx(7 / 3, abs=0.2)
    assert np.asarray(join([paths[0], *columns])).item() == pytest.approx(7 / 3)


def test_one_column_of_a_trained_fractalnet():
    variant, arguments = twin("fractalnet20_cifar")
    whole, column = build(variant, **arguments), build(variant, **arguments, columns=3)
    assert {layer.name for layer in column.layers} <= {layer.name for layer in whole.layers} | {"image"}
    assert sum("conv" in layer.name for layer in column.layers) == 20
    with pytest.raises(ValueError, match="columns=4"):
        build(variant, **arguments, columns=4)


def test_edge_padding_is_invisible_to_max_pooling():
    x = normal(1, 7, 6, 2) - 5
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pool = keras.layers.MaxPooling2D(3, 2)
    np.testing.assert_array_equal(pool(EdgePadding2D()(x)), pool(padded))


def test_recomputation_changes_nothing():
    variant, arguments = twin("densenet_bc100_12_cifar")
    arguments["classifier_activation"] = None
    plain, again = build(variant, **arguments), build(variant, **arguments, recompute=True)
    fill(plain)
    inner = {part.name: part for layer in again.layers for part in getattr(layer, "parts", (layer,))}
    for layer in plain.layers:
        if layer.weights:
            inner[layer.name].set_weights(layer.get_weights())
    x = tf.constant(pixels((4, *plain.input_shape[1:])))
    results = []
    for model in (plain, again):
        parts = {p.name: p for layer in model.layers for p in getattr(layer, "parts", (layer,))}
        layers = [parts[layer.name] for layer in plain.layers if layer.weights]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(x, training=True) ** 2)
        results.append([loss, *tape.gradient(loss, [v.value for layer in layers for v in layer.trainable_variables])])
        results[-1] += [np.array(v) for layer in layers for v in layer.non_trainable_variables]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert get_variant("densenet121").extras["recompute"].default is False
