"""The quicker gradients of convolutions against those of Keras's layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnets.layers import one_pass
from kerasnets.layers.processor_gradients import ProcessorConv2D, ProcessorDepthwiseConv2D, use_processor_gradients
from kerasnets.layers.silu import silu

# (layer, arguments, input shape)
CONVOLUTIONS = [
    ("Conv2D", {"filters": 6, "kernel_size": 1}, (4, 9, 7, 5)),
    ("Conv2D", {"filters": 6, "kernel_size": 1, "use_bias": True, "activation": "sigmoid"}, (4, 9, 7, 5)),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "padding": "same"}, (4, 7, 7, 5)),
    ("Conv2D", {"filters": 6, "kernel_size": 3}, (4, 9, 8, 5)),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"}, (4, 14, 13, 5)),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "strides": 2}, (4, 16, 15, 5)),
    ("DepthwiseConv2D", {"kernel_size": 5, "padding": "same"}, (4, 9, 8, 5)),
    ("DepthwiseConv2D", {"kernel_size": 5, "strides": 2, "padding": "same"}, (4, 14, 13, 5)),
    ("DepthwiseConv2D", {"kernel_size": 7, "padding": "same", "use_bias": True}, (4, 9, 8, 5)),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "padding": "same"}, (4, 14, 13, 5)),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2}, (4, 16, 15, 5)),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "depth_multiplier": 2}, (4, 16, 15, 5)),
    ("DepthwiseConv2D", {"kernel_size": (5, 3), "padding": "same", "activation": "sigmoid"}, (4, 9, 8, 5)),
]
QUICK = {"Conv2D": ProcessorConv2D, "DepthwiseConv2D": ProcessorDepthwiseConv2D}


def gradients(layer, x, upstream):
    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.cast(layer(x), tf.float32) * upstream)
        return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    return [tf.cast(each, tf.float32).numpy() for each in step(x)]


@pytest.mark.parametrize(("kind", "arguments", "shape"), CONVOLUTIONS, ids=str)
def test_gradients_are_those_of_keras(kind, arguments, shape):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal(shape), tf.float32)
    stock = getattr(keras.layers, kind)(**{"use_bias": False, **arguments})
    upstream = rng.standard_normal(stock(x).shape).astype("float32")
    wanted = gradients(stock, x, upstream)
    for policy, tolerance in (("float32", 1e-5), ("mixed_bfloat16", 2e-2)):
        layer = QUICK[kind].from_config(stock.get_config() | {"dtype": policy})
        layer.build(shape)
        layer.set_weights(stock.get_weights())
        np.testing.assert_allclose(layer(x), stock(x), rtol=tolerance, atol=tolerance)
        found = gradients(layer, x, upstream)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())


def test_the_slow_gradients_are_not_in_the_graph():
    x = tf.zeros((4, 14, 14, 8), tf.bfloat16)
    for layer, slow in (
        (ProcessorConv2D(4, 1, dtype="mixed_bfloat16"), "Conv2DBackpropFilter"),
        (ProcessorConv2D(4, 3, 2, dtype="mixed_bfloat16"), "Conv2DBackpropFilter"),
        (ProcessorDepthwiseConv2D(3, 2, dtype="mixed_bfloat16"), "DepthwiseConv2dNativeBackpropInput"),
    ):
        layer.build(x.shape)

        @tf.function
        def step(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x))
            return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

        assert slow not in {operation.type for operation in step.get_concrete_function(x).graph.get_operations()}


def test_a_network_keeps_weights_outputs_and_configuration():
    inputs = keras.Input((16, 16, 3))
    y = keras.layers.DepthwiseConv2D(5, padding="same")(keras.layers.Conv2D(8, 3, 2)(inputs))
    network = keras.Model(inputs, keras.layers.Conv2D(4, 1, name="last")(y))
    config, weights, x = (
        network.get_config(),
        network.get_weights(),
        np.random.default_rng(0).normal(size=(2, 16, 16, 3)),
    )
    before = network(x)
    use_processor_gradients(network)
    assert [type(layer).__name__ for layer in network.layers[1:]] == [
        "ProcessorConv2D",
        "ProcessorDepthwiseConv2D",
        "ProcessorConv2D",
    ]
    np.testing.assert_array_equal(network(x), before)
    again = keras.Model.from_config(config)
    again.set_weights(weights)
    np.testing.assert_array_equal(again(x), before)


def test_nothing_changes_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"])
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 1)])
    use_processor_gradients(network)
    assert type(network.layers[0]) is keras.layers.Conv2D


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("function, reference", [(silu, tf.nn.silu), (one_pass.relu6, tf.nn.relu6)])
def test_activations_in_one_pass(function, reference, dtype, tolerance):
    x = tf.constant(np.random.default_rng(0).normal(0.0, 4.0, (2, 64, 64, 8)), dtype)
    exact = tf.cast(x, tf.float32)

    @tf.function
    def step(function, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x)

    for ours, theirs in zip(step(function, x), step(reference, exact), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, rtol=tolerance, atol=tolerance)
    graph = step.get_concrete_function(function, x).graph
    assert "_XlaMustCompile" in str(graph.as_graph_def().library)
