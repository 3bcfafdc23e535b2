"""The fused layer against `keras.layers.BatchNormalization`: outputs, gradients and statistics, step by step."""

import fresh
import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnets.layers.batch_norm import BatchNormalization

SHAPE = (4, 5, 6, 7)


def pair(shape=SHAPE, **arguments):
    """Our layer and Keras's with the same random weights."""
    layers = BatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    rng = np.random.default_rng(0)
    for layer in layers:
        layer.build(shape)
    for ours, theirs in zip(layers[0].weights, layers[1].weights, strict=True):
        assert ours.name == theirs.name and ours.dtype == theirs.dtype and ours.trainable == theirs.trainable
        value = rng.uniform(0.5, 1.5, ours.shape).astype(np.float32)
        ours.assign(value), theirs.assign(value)
    return layers


def step(layer, x, weight, training=True):
    """Output and gradients (input, gamma, beta) of one call."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * weight)
    return y, tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])


def batches(count, shape=SHAPE, dtype=tf.float32):
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield tf.constant(rng.normal(0.7, 2.0, shape), dtype), tf.constant(rng.standard_normal(shape), tf.float32)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": False},
        {"center": False},
        {"momentum": 0.9, "epsilon": 1e-5},
        {"axis": 3},
        {"scale": False, "center": False},
    ],
    ids=str,
)
def test_equals_keras_step_by_step(arguments):
    ours, theirs = pair(**arguments)
    for x, weight in batches(3):
        for a, b in zip(tf.nest.flatten(step(ours, x, weight)), tf.nest.flatten(step(theirs, x, weight)), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours(x, training=False), theirs(x, training=False), rtol=1e-5, atol=1e-5)


def test_is_fused_in_training_and_falls_back_elsewhere():
    def operations(layer, shape, training=True):
        call = tf.function(lambda x: layer(x, training=training))
        graph = call.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
        return {op.type for op in graph.get_operations()}

    assert "FusedBatchNormV3" in operations(pair()[0], SHAPE)
    assert "FusedBatchNormV3" in operations(pair()[0], (None, None, None, 7))
    for layer, shape in (
        (pair((4, 7))[0], (4, 7)),
        (pair((4, 7, 5, 6), axis=1)[0], (4, 7, 5, 6)),
        (pair(synchronized=True)[0], SHAPE),
    ):
        assert "FusedBatchNormV3" not in operations(layer, shape)
    frozen, _ = pair()
    frozen.trainable = False
    before = np.array(frozen.moving_mean)
    frozen(tf.random.normal(SHAPE), training=True)
    np.testing.assert_array_equal(frozen.moving_mean, before)


@pytest.mark.parametrize("axis, shape", [(-1, (6, 7)), (1, (4, 7, 5, 6)), (-1, (4, 5, 7))])
def test_other_shapes_give_what_keras_gives(axis, shape):
    ours, theirs = pair(shape, axis=axis)
    for x, weight in batches(2, shape):
        for a, b in zip(tf.nest.flatten(step(ours, x, weight)), tf.nest.flatten(step(theirs, x, weight)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_mask_is_respected():
    ours, theirs = pair()
    x, _ = next(batches(1))
    mask = tf.constant(np.random.default_rng(2).random(SHAPE[:-1]) > 0.3)
    np.testing.assert_allclose(
        ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-6)


@pytest.mark.parametrize("policy, tolerance", [("mixed_float16", 4e-3), ("mixed_bfloat16", 4e-2), ("float64", 1e-4)])
def test_other_precisions(policy, tolerance):
    ours, theirs = pair(dtype=policy)
    for x, weight in batches(2, dtype=ours.compute_dtype):
        (a, _), (b, _) = step(ours, x, weight), step(theirs, x, weight)
        assert a.dtype == b.dtype == ours.compute_dtype
        np.testing.assert_allclose(tf.cast(a, tf.float32), tf.cast(b, tf.float32), rtol=tolerance, atol=tolerance)
        for v, w in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(v, w, rtol=tolerance, atol=tolerance)


def test_config_round_trip():
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5, scale=False, name="layer1.0.bn1")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is BatchNormalization and again.get_config() == layer.get_config()


MIRRORED = """
import numpy as np, tensorflow as tf, keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasnets.layers.batch_norm import BatchNormalization
rng = np.random.default_rng(0)
x, y = rng.normal(1, 2, (8, 6, 6, 3)).astype("float32"), rng.integers(0, 4, 8)
results = []
for layer in (BatchNormalization, keras.layers.BatchNormalization):
    keras.utils.set_random_seed(1)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        body = [keras.layers.Conv2D(4, 3), layer(), keras.layers.Flatten(), keras.layers.Dense(4)]
        model = keras.Sequential([keras.Input((6, 6, 3)), *body])
        model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    results.append([np.array(v) for v in model.weights])
for a, b in zip(*results):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
print("equal")
"""


def test_two_replicas_give_what_keras_gives():
    done = fresh.run("-c", MIRRORED)
    assert "equal" in done.stdout, done.stderr[-2000:]
