"""Optimizers against closed forms written down here with numpy, and against TensorFlow 1's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden_files import ingredients
from nets import outline
from pydantic import TypeAdapter

from kerasnets.build import create_model
from kerasnets.recipe.schema import OptimizerOptions, ScheduleOptions
from kerasnets.training.layer_rates import variable_rates
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.trainer import _average


def options(kind, **values):
    return TypeAdapter(kind).validate_python(values)


def ones():
    return [keras.Variable(np.ones(shape), dtype="float32") for shape in ((2, 2), (2,))]


def test_sgd_is_caffes_form_and_decays_kernels_only():
    optimizer = make_optimizer(
        options(OptimizerOptions, name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.5, clip_norm=1.0),
        Schedule(options(ScheduleOptions, name="constant"), 0.1, 1, 1),
        variables := ones(),
    )
    kernel, bias, v_kernel, v_bias = np.ones((2, 2)), np.ones(2), 0.0, 0.0
    gradient = [np.full((2, 2), 3.0), np.full(2, 4.0)]
    norm = np.sqrt(4 * 9 + 2 * 16)
    for _ in range(3):
        optimizer.apply([tf.constant(g, tf.float32) for g in gradient], variables)
        v_kernel = 0.9 * v_kernel - 0.1 * (gradient[0] / norm + 0.5 * kernel)
        v_bias = 0.9 * v_bias - 0.1 * gradient[1] / norm
        kernel, bias = kernel + v_kernel, bias + v_bias
    np.testing.assert_allclose(variables[0].numpy(), kernel, rtol=1e-5)
    np.testing.assert_allclose(variables[1].numpy(), bias, rtol=1e-5)


def optimizer_of(variables, **values):
    """Returns a recipe's optimizer at a constant rate, built for `variables`."""
    schedule = Schedule(options(ScheduleOptions, name="constant"), values["learning_rate"], 1, 1)
    return make_optimizer(options(OptimizerOptions, **values), schedule, variables)


@pytest.mark.parametrize("epsilon", [1.0, 1e-3])
def test_rmsprop_of_tensorflow_1(epsilon):
    """Against TensorFlow 1's own optimizer and its formula: the mean of squares begins with 1, epsilon in the root."""
    rng = np.random.default_rng(2)
    gradients = rng.normal(size=(5, 3, 2)).astype("float32")
    ours, theirs = keras.Variable(np.ones((3, 2), "float32")), tf.Variable(np.ones((3, 2), "float32"))
    values = {"learning_rate": 0.045, "rho": 0.9, "momentum": 0.9, "epsilon": epsilon, "initial_accumulator": 1.0}
    optimizer = optimizer_of([ours], name="rmsprop", **values)
    old = tf.compat.v1.train.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=epsilon)
    weight, squares, step = np.ones((3, 2)), np.ones((3, 2)), np.zeros((3, 2))
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [ours])
        old.apply_gradients([(tf.constant(gradient), theirs)])
        squares = 0.9 * squares + 0.1 * gradient**2
        step = 0.9 * step + 0.045 * gradient / np.sqrt(squares + epsilon)
        weight = weight - step
        np.testing.assert_allclose(ours.numpy(), weight, rtol=1e-5)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


def test_rmsprop_of_keras_begins_at_zero():
    ours, theirs = keras.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])
    optimizer_of([ours], name="rmsprop", learning_rate=0.1, epsilon=1e-3).apply([tf.constant([0.5, -1.0])], [ours])
    stock = keras.optimizers.RMSprop(0.1, rho=0.9, momentum=0.9, epsilon=1e-3)
    stock.apply([tf.constant([0.5, -1.0])], [theirs])
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_l2_inside_the_loss_is_clipped_with_the_gradient(name):
    """The same step as plain clipping of the gradient of a loss that contains L2, as TF-slim has it."""
    values = {"name": name, "learning_rate": 0.1, "clip_norm": 1.0}
    ours, theirs = ones(), ones()
    inside = optimizer_of(ours, **values, weight_decay=0.5, clip_weight_decay=True)
    plain_clip = optimizer_of(theirs, **values)
    for _ in range(3):
        inside.apply([tf.fill(v.shape, 3.0) for v in ours], ours)
        of_loss = [3.0 + 0.5 * v.numpy() if len(v.shape) > 1 else np.full(v.shape, 3.0) for v in theirs]
        plain_clip.apply([tf.constant(g, tf.float32) for g in of_loss], theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


def test_lamb_follows_its_algorithm():
    """You et al. 2019, algorithm 2, in float64; biases take Adam's step without trust ratio, as in timm."""
    rng = np.random.default_rng(3)
    variables = [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((3, 2), (2,))]
    optimizer = optimizer_of(variables, name="lamb", learning_rate=0.05, weight_decay=0.02)
    weights, mean, square = [v.numpy().astype("float64") for v in variables], [0.0, 0.0], [0.0, 0.0]
    for step in range(1, 5):
        gradients = [rng.normal(size=w.shape) for w in weights]
        optimizer.apply([tf.constant(g, tf.float32) for g in gradients], variables)
        for i, g in enumerate(gradients):
            mean[i], square[i] = 0.9 * mean[i] + 0.1 * g, 0.999 * square[i] + 0.001 * g**2
            update = mean[i] / (1 - 0.9**step) / (np.sqrt(square[i] / (1 - 0.999**step)) + 1e-6)
            if weights[i].ndim > 1:
                update = update + 0.02 * weights[i]
                update = update * np.linalg.norm(weights[i]) / np.linalg.norm(update)
            weights[i] = weights[i] - 0.05 * update
        for variable, weight in zip(variables, weights, strict=True):
            np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-4)


def test_lamb_changes_weights_that_are_zero():
    variable = keras.Variable(np.zeros((2, 2), "float32"))
    optimizer_of([variable], name="lamb", learning_rate=0.05).apply([tf.ones([2, 2])], [variable])
    np.testing.assert_allclose(variable.numpy(), -0.05, rtol=1e-4)


GOLDEN = ingredients()


def golden_variables():
    return [keras.Variable(GOLDEN[f"first_{name}"], name=name) for name in ("kernel", "bias")]


def golden_steps(optimizer, variables):
    """Yields after each of the four steps of `make_ingredients.py`."""
    for gradients in zip(GOLDEN["gradient_kernel"], GOLDEN["gradient_bias"], strict=True):
        optimizer.apply([tf.constant(g) for g in gradients], variables)
        yield


def test_lamb_is_timms():
    kernel, bias = variables = golden_variables()
    optimizer = optimizer_of(variables, name="lamb", learning_rate=0.05, weight_decay=0.02, clip_norm=1.0)
    for number, _ in enumerate(golden_steps(optimizer, variables)):
        np.testing.assert_allclose(kernel.numpy(), GOLDEN["lamb"][number], atol=1e-6)
    np.testing.assert_allclose(bias.numpy(), GOLDEN["lamb_bias"], atol=1e-6)


def test_muon_is_pytorchs():
    kernel, _ = variables = golden_variables()
    optimizer = optimizer_of(variables, name="muon", learning_rate=0.05, weight_decay=0.1)
    for number, _ in enumerate(golden_steps(optimizer, variables)):
        np.testing.assert_allclose(kernel.numpy(), GOLDEN["muon"][number], atol=1e-6)


def test_muon_takes_convolutions_as_matrices_and_leaves_the_rest_to_adam():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(3, 3, 4, 6)).astype("float32")
    gradient = rng.normal(size=first.shape).astype("float32")
    shapes = {"bias": (6,), "depthwise": (3, 3, 4, 1), "predictions": (6, 4)}
    others = [keras.Variable(rng.normal(size=shape), dtype="float32", name=name) for name, shape in shapes.items()]
    variables = [keras.Variable(first, name="kernel"), *others]
    gradients = [tf.constant(gradient), *(tf.constant(rng.normal(size=v.shape), tf.float32) for v in others)]
    theirs = [keras.Variable(v.numpy()) for v in others]
    optimizer_of(variables, name="muon", learning_rate=0.1).apply(gradients, variables)
    matrix = keras.Variable(first.reshape(36, 6), name="matrix")
    optimizer_of([matrix], name="muon", learning_rate=0.1).apply([tf.reshape(gradient, [36, 6])], [matrix])
    np.testing.assert_allclose(variables[0].numpy().reshape(36, 6), matrix.numpy(), atol=1e-6)
    optimizer_of(theirs, name="adamw", learning_rate=0.1).apply(gradients[1:], theirs)
    for a, b in zip(others, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


def test_the_average_of_weights_is_pytorchs():
    kernel = keras.Variable(GOLDEN["first_kernel"])
    average = tf.Variable(kernel.value)
    for step, expected in zip(GOLDEN["lamb"], GOLDEN["lamb_average"], strict=True):
        kernel.assign(step)
        _average(average, kernel.value, 0.9)
        np.testing.assert_allclose(average.numpy(), expected, atol=1e-6)


def test_layer_decay_is_timms():
    """A ResNet-50 has the stem, 16 blocks and the classifier."""
    network = outline(create_model, "resnet50_v1_5")
    ours = variable_rates(network.trainable_variables, options(OptimizerOptions, **SGD, layer_decay=0.5))
    found = {v.path.split("/")[0]: rate for v, rate in zip(network.trainable_variables, ours, strict=True)}
    theirs = zip(GOLDEN["rate_names"], GOLDEN["rates"], strict=True)
    assert found == {str(name).rpartition(".")[0].replace("fc", "predictions"): rate for name, rate in theirs}


SGD = {"name": "sgd", "learning_rate": 0.1}


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop", "lamb", "muon"])
def test_rates_scale_the_whole_step(name):
    """Half the rate for one variable is the same step as half the rate for all, weight decay included."""

    def step(rate, **more):
        variables = golden_variables()
        optimizer = optimizer_of(variables, name=name, learning_rate=rate, weight_decay=0.1, **more)
        next(golden_steps(optimizer, variables))
        return [v.numpy() for v in variables]

    half, whole, rated = step(0.05), step(0.1), step(0.1, rates={"kernel": 0.5})
    np.testing.assert_allclose(rated[0], half[0], atol=1e-7)
    np.testing.assert_array_equal(rated[1], whole[1])


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_weight_decay_changes_kernels_only(name):
    after = []
    for decay in (0.0, 0.1):
        chosen = options(OptimizerOptions, name=name, learning_rate=0.01, weight_decay=decay)
        schedule = Schedule(options(ScheduleOptions, name="constant"), 0.01, 1, 1)
        optimizer = make_optimizer(chosen, schedule, variables := ones())
        for gradient in (1.0, -2.0):
            optimizer.apply([tf.fill(v.shape, gradient) for v in variables], variables)
        after.append([v.numpy() for v in variables])
    (kernel, bias), (decayed_kernel, same_bias) = after
    assert not np.allclose(kernel, decayed_kernel, atol=1e-6)
    np.testing.assert_array_equal(bias, same_bias)


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop", "lamb", "muon"])
def test_weight_decay_of_all_variables(name):
    """Without a gradient only weight decay moves a weight: biases with `decay_all`, as in Caffe and Torch."""
    for everything in (False, True):
        variables = ones()
        optimizer = optimizer_of(variables, name=name, learning_rate=0.1, weight_decay=0.5, decay_all=everything)
        optimizer.apply([tf.zeros(v.shape) for v in variables], variables)
        assert (variables[0].numpy() < 1).all()
        assert (variables[1].numpy() < 1).all() == everything
