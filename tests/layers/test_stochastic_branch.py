"""Stochastic depth as its authors run it: a dropped block costs nothing and its statistics stay as they are."""

import fresh
import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import build_twin, check_tflite, fill, outline, pixels

from kerasnets.build import create_model
from kerasnets.graph.cost import complexity, reach
from kerasnets.graph.fold import fold_batch_norm, inference_form
from kerasnets.layers import grouped_conv
from kerasnets.layers.stochastic_branch import StochasticBranch
from kerasnets.layers.stochastic_depth import StochasticDepth
from kerasnets.weights.mapping import weight_targets

NETS = {  # variants, small, of each block that takes stochastic depth
    "original": ("resnet110_stochastic_depth_cifar", {"stochastic_depth": 0.5}),
    "bottleneck": ("resnet50", {"stochastic_depth": 0.5}),
    "gate": ("se_resnet50", {"stochastic_depth": 0.5}),
    "preactivation": ("resnet110_v2_cifar", {"stochastic_depth": 0.5}),
}
every_block = pytest.mark.parametrize("kind", NETS)


def build(kind, **changes):
    name, arguments = NETS[kind]
    model = build_twin(name, classifier_activation=None, **(arguments | changes))
    fill(model)
    return model


def branches(model):
    return [layer for layer in model.layers if isinstance(layer, StochasticBranch)]


def counted(rate, seed=None, graph=True):
    """One branch, and how often its convolution was computed in 40 steps, beside the steps' outputs and statistics."""
    executions = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            executed = tf.py_function(lambda: executions.append(1) or 0, [], tf.int32)
            with tf.control_dependencies([executed]):
                return tf.identity(x)

        def compute_output_shape(self, shape):
            return shape

    inner = keras.Input((4, 4, 2))
    y = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(2, 3, padding="same")(Counting()(inner)))
    layer = StochasticBranch(keras.Model(inner, y), rate, seed)
    x = tf.constant(pixels((3, 4, 4, 2)))
    kernel, mean = layer.branch.layers[2].kernel.value, layer.branch.get_layer("norm").moving_mean

    def step():
        with tf.GradientTape() as tape:
            output = layer([x, x], training=True)
            loss = tf.reduce_sum(output**2)
        return output, tape.gradient(loss, kernel)

    run = tf.function(step) if graph else step
    found = []
    for _ in range(40):
        before, count = np.array(mean), len(executions)
        output, gradient = run()
        gradient = 0.0 if gradient is None else float(tf.norm(tf.convert_to_tensor(gradient)))
        found.append((len(executions) - count, np.array(output), gradient, np.abs(np.array(mean) - before).max()))
    return np.asarray(x), found


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_a_dropped_branch_is_not_computed(graph):
    x, steps = counted(0.5, seed=3, graph=graph)
    for executions, output, gradient, moved in steps:
        if executions:
            assert gradient > 0 and moved > 0 and (output != x).any()
        else:
            assert gradient == 0 and moved == 0 and (output == x).all()
    assert 8 < sum(executions > 0 for executions, *_ in steps) < 32
    assert [step[0] > 0 for step in steps] == [step[0] > 0 for step in counted(0.5, seed=3, graph=graph)[1]]


def test_a_rate_that_is_not_allowed():
    inputs = keras.Input((2,))
    with pytest.raises(ValueError, match=r"Received: rate=1\.0"):
        StochasticBranch(keras.Model(inputs, keras.layers.Dense(2)(inputs)), 1.0)


def test_every_block_has_its_rate():
    rates = [layer.rate for layer in branches(outline(create_model, "resnet110_stochastic_depth_cifar"))]
    np.testing.assert_allclose(rates, 0.5 * np.arange(1, 55) / 54)


@every_block
def test_inference_scales_the_branches_of_the_same_weights(kind):
    """At a rate near zero the network is the one without stochastic depth, under the same names."""
    plain, stochastic = build(kind, stochastic_depth=0.0), build(kind, stochastic_depth=1e-9)
    names, others = (
        {(name, t.variable.path) for name, t in weight_targets(net).items()} for net in (plain, stochastic)
    )
    assert names == others
    x = pixels((2, *plain.input_shape[1:]))
    np.testing.assert_allclose(stochastic(x), plain(x), rtol=1e-4, atol=1e-5)
    assert branches(stochastic) and not branches(plain)
    halved = build(kind)
    first = branches(halved)[-1]
    shortcut, inner = (keras.Model(halved.input, tensor)(x) for tensor in first.input)
    output = keras.Model(halved.input, first.output)(x)
    np.testing.assert_allclose(output, shortcut + 0.5 * first.branch(inner), rtol=1e-4, atol=1e-4)


@every_block
def test_it_costs_and_sees_and_folds_as_the_plain_network(kind):
    plain, stochastic = build(kind, stochastic_depth=0.0), build(kind)
    a, b = complexity(plain), complexity(stochastic)
    assert (a.parameters, a.multiply_adds, a.activations) == (b.parameters, b.multiply_adds, b.activations)
    assert sum(layer.parameters for layer in b.layers) == b.parameters
    assert {key: value for key, value in reach(stochastic).items() if ".input" not in key} == reach(plain)
    folded = fold_batch_norm(stochastic)
    kept = [len([p for m in branches(net) for p in m.parts if isinstance(p, keras.layers.BatchNormalization)])
            for net in (stochastic, folded)]  # fmt: skip
    assert kept[1] < kept[0]
    x = pixels((2, *stochastic.input_shape[1:]))
    np.testing.assert_allclose(folded(x), stochastic(x), rtol=1e-3, atol=1e-4)


def test_the_exported_form_of_grouped_convolutions_in_branches(monkeypatch):
    monkeypatch.setattr(grouped_conv, "_is_complete", lambda *_: False)  # as on a machine without oneDNN
    model = build_twin("resnext50_32x4d", stochastic_depth=0.5)
    grouped = [
        p for layer in branches(inference_form(model)) for p in layer.parts if isinstance(p, grouped_conv.GroupedConv2D)
    ]
    assert grouped and all(part.native for part in grouped)


@pytest.mark.parametrize(
    ("policy", "compiled"),
    [
        ("float32", True),
        ("mixed_float16", False),
        pytest.param("float32", False, marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", False, marks=pytest.mark.slow),
    ],
)
def test_a_step_in_any_precision_compiled_or_not(policy, compiled):
    keras.config.set_dtype_policy(policy)
    try:
        model = build("original")
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.SGD(1e-3), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=compiled)
    before = {v.path: np.array(v) for v in model.trainable_variables}
    losses = [model.train_on_batch(pixels((4, *model.input_shape[1:])), np.arange(4)) for _ in range(4)]
    moved = [path for v in model.trainable_variables if (np.array(v) != before[path := v.path]).any()]
    assert np.isfinite(losses).all() and moved


RELOAD = """
import sys
import kerasnets, keras, numpy as np
from pathlib import Path
folder = Path(sys.argv[1])
model = keras.models.load_model(folder / "model.keras")
x, y = (np.load(folder / f"{n}.npy") for n in "xy")
np.testing.assert_allclose(np.asarray(model(x, training=False)), y, rtol=1e-4, atol=1e-5)
outputs = {np.asarray(model(x, training=True)).tobytes() for _ in range(6)}
assert len(outputs) > 1
print("same outputs")
"""


def test_files_of_a_stochastic_network(tmp_path):
    """`.keras` in a fresh process, weights of the plain network, SavedModel and TFLite."""

    model = build("original")
    x = pixels((2, *model.input_shape[1:]))
    y = np.asarray(model(x, training=False))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    done = fresh.run("-c", RELOAD, tmp_path)
    assert "same outputs" in done.stdout, done.stderr[-2000:]
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin(x, training=False), y, rtol=1e-5)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.serve(x), y, rtol=1e-4, atol=1e-5)
    check_tflite(model, x, tmp_path / "net.tflite")


MIRRORED = """
import keras, numpy as np, sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
from nets import build_twin, check_tflite, fill, pixels
from kerasnets.distribution.replicas import prepare_for_replicas

def steps(strategy, copies, synchronized):
    keras.utils.set_random_seed(5)
    with strategy.scope():
        model = build_twin("resnet110_stochastic_depth_cifar", classifier_activation=None, stochastic_depth=0.9)
        fill(model)
        prepare_for_replicas(model, copies, synchronized)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)
    before = {v.path: np.array(v) for v in model.weights}
    x, y = [pixels((4, *model.input_shape[1:]))] * copies, [np.arange(4)] * copies
    for _ in range(3):
        model.fit(np.concatenate(x), np.concatenate(y), batch_size=4 * copies, shuffle=False, verbose=0)
    return before, {v.path: np.array(v) for v in model.weights}

before, one = steps(tf.distribute.get_strategy(), 1, False)
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for synchronized in (False, True):
    _, two = steps(mirrored, 2, synchronized)
    for path, value in one.items():
        if "seed" not in path:
            difference = np.abs(value - two[path]).max() / (np.abs(value).max() + 1e-6)
            # Synchronised, a dropped block is computed and its statistics move.
            if not (synchronized and "moving" in path):
                assert difference <= 1e-4, (synchronized, path, difference)
    print("equal")
still = [path for path, value in one.items() if "moving_mean" in path and (value == before[path]).all()]
assert still, "no block was dropped three times"
"""


@pytest.mark.slow
def test_the_same_blocks_are_dropped_on_every_replica():
    from nets import SUPPORT

    done = fresh.run("-c", MIRRORED, SUPPORT)
    assert done.stdout.count("equal") == 2 and not done.returncode, done.stderr[-2000:]


def test_one_decision_for_each_example():
    """`drop_mode="sample"`: every branch runs, and a kept example's is scaled up, so that inference needs no scale."""
    arguments = {"classifier_activation": None, "stochastic_depth": 0.5}
    model = build_twin("resnet50_v1_5", **arguments, drop_mode="sample")
    fill(model)
    drops = [layer for layer in model.layers if isinstance(layer, StochasticDepth)]
    count = len([layer for layer in model.layers if layer.name.endswith(".add")])
    np.testing.assert_allclose([layer.rate for layer in drops], 0.5 * np.arange(1, count + 1) / count)
    assert {(layer.mode, layer.scale) for layer in drops} == {("sample", "train")} and not branches(model)
    plain = build_twin("resnet50_v1_5", classifier_activation=None)
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    images = pixels((2, *model.input_shape[1:]))
    np.testing.assert_allclose(model.predict(images, verbose=0), plain.predict(images, verbose=0), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="`drop_mode` should be 'batch' or 'sample'"):
        build_twin("resnet50_v1_5", **arguments, drop_mode="image")
