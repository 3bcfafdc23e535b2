"""Schedules, losses, optimizers and averages against closed forms written down here with numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter
from tensorflow.python.framework.config import disable_op_determinism

from kerasnets.layers.batch_norm import BatchNormalization
from kerasnets.recipe.schema import EMAOptions, LossOptions, OptimizerOptions, ScheduleOptions
from kerasnets.registry import Preprocessing
from kerasnets.training.losses import (
    binary_cross_entropy,
    cross_entropy,
    example_losses,
    is_correct,
    output_weights,
    plain,
)
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.trainer import Trainer

PIXELS = Preprocessing(8, 1.0, "bilinear", (127.5,), (127.5,))
STEPS, EPOCHS = 10, 8
SCHEDULES = {
    "constant": ({}, lambda t: 1.0),
    "step": ({"milestones": [2, 5], "factor": 0.1}, lambda t: 0.1 ** (int(t >= 20) + int(t >= 50))),
    "cosine": ({"final": 0.1}, lambda t: 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * t / 80))),
    "polynomial": ({"power": 0.5}, lambda t: (1 - t / 80) ** 0.5),
    "exponential": ({"factor": 0.97, "every_epochs": 2.4}, lambda t: 0.97 ** np.floor(t / 24)),
    "plateau": ({}, lambda t: 1.0),
}


BCE = {"name": "binary_cross_entropy", "target_threshold": 0.2}


def options(kind, **values):
    return TypeAdapter(kind).validate_python(values)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_follow_their_formulas(name):
    values, formula = SCHEDULES[name]
    schedule = Schedule(options(ScheduleOptions, name=name, **values), 0.4, STEPS, STEPS * EPOCHS)
    steps = np.arange(STEPS * EPOCHS)
    np.testing.assert_allclose([schedule(t) for t in steps], [0.4 * formula(t) for t in steps], rtol=1e-5)


def test_warm_up_is_linear_or_constant():
    linear = Schedule(options(ScheduleOptions, name="cosine", warmup_epochs=2, warmup_start=0.1), 1.0, STEPS, 80)
    np.testing.assert_allclose([linear(t) for t in range(20)], [0.1 + 0.9 * (t + 1) / 20 for t in range(20)], rtol=1e-5)
    assert float(linear(20)) == pytest.approx(1.0) and float(linear(50)) == pytest.approx(0.5)
    constant = options(
        ScheduleOptions, name="step", milestones=[4], warmup_epochs=2, warmup_start=0.1, warmup="constant"
    )
    assert [float(Schedule(constant, 1.0, STEPS, 80)(t)) for t in (0, 19, 20, 40)] == pytest.approx([0.1, 0.1, 1, 0.1])


def test_cross_entropy_with_smoothing_and_soft_labels_equals_numpy():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5)).astype("float32") * 3, rng.integers(0, 5, 6)
    soft = rng.dirichlet(np.ones(5), 6).astype("float32")
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for given, target in ((labels, np.eye(5)[labels]), (soft, soft)):
        for smoothing in (0.0, 0.1):
            wanted = -((target * (1 - smoothing) + smoothing / 5) * logs).sum(-1)
            found = cross_entropy(tf.constant(logits), tf.constant(given), smoothing)
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
    top3 = [label in row.argsort()[-3:] for label, row in zip(labels, logits, strict=True)]
    np.testing.assert_array_equal(is_correct(tf.constant(logits), tf.constant(labels), 3), np.array(top3, "float32"))


def test_binary_cross_entropy_follows_its_formula():
    """The formula of timm's loss: smoothed targets, then the threshold, then the mean over the classes."""
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(6, 5)).astype("float32") * 3, rng.integers(0, 5, 6)
    mixed = 0.75 * np.eye(5)[labels] + 0.25 * np.eye(5)[(labels + 1) % 5]
    share = 1 / (1 + np.exp(-logits.astype("float64")))
    for given, target in ((labels, np.eye(5)[labels]), (mixed.astype("float32"), mixed)):
        for smoothing, threshold in ((0.0, None), (0.1, None), (0.0, 0.2), (0.1, 0.5)):
            wanted = (1 - smoothing) * target + smoothing / 5
            wanted = wanted if threshold is None else (wanted > threshold).astype(float)
            loss = -(wanted * np.log(share) + (1 - wanted) * np.log(1 - share)).mean(-1)
            found = binary_cross_entropy(tf.constant(logits), tf.constant(given), smoothing, threshold)
            np.testing.assert_allclose(found, loss, rtol=1e-4)
    both = example_losses({"predictions": logits}, tf.constant(mixed), bce := options(LossOptions, **BCE))[
        "predictions"
    ]
    np.testing.assert_allclose(both, binary_cross_entropy(logits, tf.constant(mixed), 0.0, 0.2))
    evaluated = example_losses({"predictions": logits}, tf.constant(labels), plain(bce))["predictions"]
    np.testing.assert_allclose(evaluated, cross_entropy(logits, tf.constant(labels)))
    with pytest.raises(ValueError, match="target_threshold needs the loss binary_cross_entropy"):
        LossOptions(target_threshold=0.2)


def test_weights_of_auxiliary_outputs_must_fit():
    assert output_weights(["predictions", "aux1"], {"aux1": 0.3}) == {"predictions": 1.0, "aux1": 0.3}
    with pytest.raises(ValueError, match="Missing: aux1"):
        output_weights(["predictions", "aux1"], {})
    with pytest.raises(ValueError, match="Received: 'aux2'"):
        output_weights(["predictions"], {"aux2": 0.3})


def network(seed=0, dropout=0.0):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = BatchNormalization(name="bn", momentum=0.5)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="predictions", dtype="float32")(x))


def trainer(optimizer, precision="float32", **settings):
    model = settings.pop("network", None) or network()
    result = Trainer(model, PIXELS, settings.pop("loss", LossOptions()), **settings)
    schedule = Schedule(options(ScheduleOptions, name="constant"), optimizer.learning_rate, 1, 1)
    result.compile(make_optimizer(optimizer, schedule, model.trainable_variables, precision), jit_compile=False)
    return result


def batches(count=4, size=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count * size, 8, 8, 1)).astype("uint8")
    return tf.data.Dataset.from_tensor_slices((images, rng.integers(0, 3, count * size).astype("int32"))).batch(size)


def test_averages_follow_the_formula():
    model = trainer(options(OptimizerOptions, name="sgd", learning_rate=0.5), ema=EMAOptions(momentum=0.2))
    wanted = [w.numpy() for w in model.network.weights]
    for step, batch in enumerate(batches(3), start=1):
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False)
        momentum = min(0.2, (1 + step) / (10 + step))
        wanted = [momentum * a + (1 - momentum) * w.numpy() for a, w in zip(wanted, model.network.weights, strict=True)]
    for average, value in zip(model.inference_weights(), wanted, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-5, atol=1e-7)


def test_micro_batches_are_one_batch():
    """Without batch norm, which takes its statistics from each micro-batch."""

    def plain():
        keras.utils.set_random_seed(3)
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs))
        return keras.Model(inputs, keras.layers.Dense(3, name="predictions")(x))

    sgd = options(OptimizerOptions, name="sgd", learning_rate=0.1, clip_norm=0.5)
    one, four = (trainer(sgd, network=plain(), gradient_accumulation=parts) for parts in (1, 4))
    logs = [model.fit(batches(), verbose=0, shuffle=False).history for model in (one, four)]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-5)
    for a, b in zip(one.network.weights, four.network.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)


def test_micro_batches_in_a_loop_are_those_written_out_to_the_last_bit():
    """Also with batch norm and dropout, which see one micro-batch after the other."""
    sgd = options(OptimizerOptions, name="sgd", learning_rate=0.1, clip_norm=0.5)
    loop, written_out = (trainer(sgd, network=network(dropout=0.5), gradient_accumulation=4) for _ in range(2))
    written_out.synchronizes = True
    logs = [model.fit(batches(), verbose=0, shuffle=False).history for model in (loop, written_out)]
    assert logs[0] == logs[1]
    for a, b in zip(loop.network.weights, written_out.network.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_graph_of_a_step_does_not_grow_with_the_micro_batches():
    def nodes(parts):
        model = trainer(options(OptimizerOptions, name="sgd", learning_rate=0.1), gradient_accumulation=parts)
        step = tf.function(model.train_step, autograph=False).get_concrete_function(next(iter(batches(1, 16))))
        graph = step.graph.as_graph_def()
        return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)

    assert nodes(4) == nodes(8) == nodes(16)


def test_a_variable_without_a_gradient_keeps_its_value():
    class Spare(keras.layers.Layer):
        def build(self, shape):
            self.spare = self.add_weight(shape=(2, 2), initializer="ones", name="spare")

        def call(self, inputs):
            return inputs

    inputs = keras.Input((8, 8, 1))
    layer = Spare()
    outputs = keras.layers.Dense(3, name="predictions")(keras.layers.Flatten()(layer(inputs)))
    optimizer = options(OptimizerOptions, name="adamw", learning_rate=0.1, weight_decay=0.5)
    for parts in (1, 4):
        model = trainer(optimizer, network=keras.Model(inputs, outputs), gradient_accumulation=parts)
        model.fit(batches(2), verbose=0, shuffle=False)
        np.testing.assert_array_equal(layer.spare.numpy(), 1.0)


def test_a_compiled_step_is_compiled_and_does_the_same():
    """Also under op determinism, under which Keras does not compile."""
    sgd = options(OptimizerOptions, name="sgd", learning_rate=0.1, clip_norm=0.5)
    tf.config.experimental.enable_op_determinism()
    try:
        plain, compiled = (trainer(sgd, jit_compile=jit) for jit in (False, True))
        logs = [model.fit(batches(), verbose=0, shuffle=False).history for model in (plain, compiled)]
        # An operation that XLA cannot compile shows that XLA is used.
        length = tf.strings.length
        compiled.own = lambda labels, outputs: outputs[:, 0] + tf.cast(length(tf.strings.as_string(labels)), tf.float32)
        compiled.make_train_function(force=True)
        with pytest.raises(tf.errors.InvalidArgumentError, match="XLA"):
            compiled.fit(batches(), verbose=0, shuffle=False)
    finally:
        disable_op_determinism()
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_steps_are_finite_and_train(precision):
    keras.config.set_dtype_policy(precision)
    try:
        model = trainer(options(OptimizerOptions, name="sgd", learning_rate=0.05), precision)
    finally:
        keras.config.set_dtype_policy("float32")
    before = [w.numpy() for w in model.network.trainable_weights]
    losses = model.fit(batches(), epochs=3, verbose=0, shuffle=False).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "mixed_float16")
    for value, weight in zip(before, model.network.trainable_weights, strict=True):
        assert weight.dtype == "float32" and np.isfinite(weight.numpy()).all()
        assert not np.array_equal(value, weight.numpy()) or "conv/bias" in weight.path


def test_a_loss_scale_that_overflows_skips_the_step_and_halves():
    model = trainer(options(OptimizerOptions, name="sgd", learning_rate=0.05), "mixed_float16")
    model.optimizer.dynamic_scale.assign(3e38)
    before = [w.numpy() for w in model.network.trainable_weights]
    model.fit(batches(1), verbose=0, shuffle=False)
    assert float(model.optimizer.dynamic_scale.numpy()) == pytest.approx(1.5e38)
    for value, weight in zip(before, model.network.trainable_weights, strict=True):
        np.testing.assert_array_equal(value, weight.numpy())


def test_a_step_with_an_infinite_loss_is_skipped_and_the_next_trains():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = trainer(options(OptimizerOptions, name="sgd", learning_rate=0.05), "mixed_float16")
    finally:
        keras.config.set_dtype_policy("float32")
    conv = model.network.get_layer("conv")
    good = conv.kernel.numpy()
    conv.kernel.assign(np.full_like(good, 3e4))  # the sum over nine pixels exceeds float16's largest number
    model.fit(batches(2), verbose=0, shuffle=False)
    assert int(model.infinite_steps.numpy()) == 2
    np.testing.assert_array_equal(conv.kernel.numpy(), np.full_like(good, 3e4))
    conv.kernel.assign(good)
    logs = model.fit(batches(2), verbose=0, shuffle=False).history
    assert int(model.infinite_steps.numpy()) == 0 and np.isfinite(logs["loss"]).all()
    assert not np.array_equal(conv.kernel.numpy(), good)
    assert all(np.isfinite(w.numpy()).all() for w in model.network.weights)


def test_evaluation_batches_count_each_example_once():
    model = trainer(options(OptimizerOptions, name="sgd", learning_rate=0.05), loss=LossOptions(label_smoothing=0.2))
    images, labels = next(iter(batches(1)))
    padded = tf.data.Dataset.from_tensors((images, labels, tf.constant([1.0] * 5 + [0.0] * 3)))
    found = model.evaluate(padded, return_dict=True, verbose=0)
    logits = model.network((tf.cast(images[:5], tf.float32) - 127.5) / 127.5).numpy()
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert found["top1"] == pytest.approx((logits.argmax(-1) == labels[:5].numpy()).mean())
    assert found["top1"] < found["top5"] == 1.0  # all three classes are among the five highest
    assert found["loss"] == pytest.approx(-logs[np.arange(5), labels[:5]].mean(), rel=1e-5)
