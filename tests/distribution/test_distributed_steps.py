"""One device and many train the same: the cases of `distribution_check.py`, each in the processes that it needs."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import fresh
import keras
import numpy as np
import pytest
import tensorflow as tf
from distribution_cases import CASES, SGD, Case
from distribution_check import TOLERANCE, dataset, difference, examples, five_steps, make_trainer

from kerasnets.distribution.replicas import prepare_for_replicas
from kerasnets.distribution.strategy import check_compilation, compiles, local_strategy
from kerasnets.layers.batch_norm import PRESENT, BatchNormalization
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.recomputed import RecomputedConvolutions

# The cases that run by default: those that differ most from one another. Gradient accumulation clips by norm too.
QUICK = (
    "gradient accumulation: 2 micro-batches are one batch",
    "mixup and cutmix",
    "evaluation of 29 examples in batches of 12",
    "float16 with loss scaling that overflows",
    "two steps a call, evaluation, uneven last batch",
    "a last batch that leaves a replica empty",
    "empty replica, synchronised batch norm",
    "each replica's moving means become one",
    "dropout",
    "quantisation-aware, a replica empty",
    "compiled by XLA, dropout, a replica empty",
)


def table(*arguments, onednn: str = "1") -> str:
    program = Path(__file__).parents[1] / "support" / "distribution_check.py"
    if onednn == "1":  # as in every command of ours
        result = fresh.run(program, *arguments)
    else:
        environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": onednn}
        command = [sys.executable, program, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=1500, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    return result.stdout


@pytest.mark.parametrize("onednn", ["1", pytest.param("0", marks=pytest.mark.slow)])
def test_two_devices_train_as_one(onednn):
    found = table("--devices", "2", "--workers", "0", "--no-jobs", "--cases", *QUICK, onednn=onednn)
    assert [line[: len(name)] for line, name in zip(found.splitlines()[:-1], QUICK, strict=True)] == list(QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("onednn", ["1", "0"])
def test_two_and_three_devices_and_two_processes_train_as_one(onednn):
    assert table("--no-jobs", onednn=onednn).count("holds") == 3 * len(CASES)


def test_another_learning_rate_is_noticed():
    """Tests the comparison: a learning rate that is 0.2 % higher is noticed."""
    alone = tf.distribute.get_strategy()
    one = five_steps(Case(), alone)
    assert difference(five_steps(Case(optimizer={**SGD, "learning_rate": 0.0501}), alone), one) > TOLERANCE
    assert difference(one, one) == 0.0


@pytest.mark.parametrize("name", ["plain SGD", "drop path", "synchronised batch norm"])
def test_several_steps_a_call_are_single_steps_to_the_last_bit(name):
    case, alone = dataclasses.replace(CASES[name], evaluate=True), tf.distribute.get_strategy()
    one, *others = (five_steps(dataclasses.replace(case, steps_per_execution=n), alone) for n in (1, 2, 5))
    for other in others:
        for path, value in one.items():
            np.testing.assert_array_equal(other[path], value, err_msg=path)


def test_a_call_of_several_steps_is_traced_once():
    trainer = make_trainer(Case(steps_per_execution=2), tf.distribute.get_strategy())
    traces, step = [], trainer.train_step
    trainer.train_step = lambda data: traces.append(data) or step(data)
    for _ in range(3):
        trainer.fit(dataset(examples((12,) * 6)), epochs=2, verbose=0, shuffle=False)
    assert len(traces) == 1


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_network_knows_how_far_the_training_is(at_once):
    case = CASES["scheduled drop path"]
    trainer = make_trainer(case, tf.distribute.get_strategy())
    trainer.steps_per_execution = at_once
    trainer.fit(dataset(examples(case.sizes[:4])), verbose=0, shuffle=False)
    # The last step was the fourth of five; three were done when it began.
    assert float(trainer.network.get_layer("progress").progress.numpy()) == pytest.approx(3 / 5)


def test_a_replica_without_examples_does_not_change_batch_norm():
    inputs = keras.Input((8, 8, 1))
    layer = BatchNormalization()
    model = keras.Model(inputs, layer(inputs))
    layer.moving_mean.assign([0.5])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.zeros((0, 8, 8, 1), "float32"), training=True))
    gradients = tape.gradient(loss, [layer.gamma.value, layer.beta.value])
    assert [float(g[0]) for g in gradients] == [0.0, 0.0]
    assert float(layer.moving_mean.numpy()[0]) == 0.5 and float(layer.moving_variance.numpy()[0]) == 1.0


def test_padding_does_not_change_batch_norm():
    inputs = keras.Input((8, 8, 1))
    layer = BatchNormalization()
    model = keras.Model(inputs, layer(inputs))
    token = PRESENT.set(tf.constant(0.0))
    model(np.ones((1, 8, 8, 1), "float32"), training=True)
    PRESENT.reset(token)
    assert float(layer.moving_mean.numpy()[0]) == 0.0 and float(layer.moving_variance.numpy()[0]) == 1.0


def test_compilation_is_refused_with_synchronised_batch_norm_on_several_devices():
    check_compilation(True, 1, True)
    check_compilation(True, 2, False)
    check_compilation(False, 2, True)
    with pytest.raises(ValueError, match="Received: jit_compile=true, synchronized_batch_norm=true, 2 devices"):
        check_compilation(True, 2, True)


def test_grouped_convolutions_are_not_compiled_on_a_cpu():
    inputs = keras.Input((8, 8, 4))
    plain, grouped = keras.layers.Conv2D(4, 3), GroupedConv2D(4, 3, groups=2)
    for layer, compiled in ((plain, True), (grouped, False), (keras.layers.DepthwiseConv2D(3), False)):
        assert compiles(True, keras.Model(inputs, layer(inputs))) is compiled
        assert not compiles(False, keras.Model(inputs, layer(inputs)))


def test_batch_norm_that_cannot_be_synchronised_is_refused():
    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="has none, leave the key out"):
        prepare_for_replicas(keras.Model(inputs, keras.layers.Flatten()(inputs)), 2, True)
    layer = RecomputedConvolutions([4], [3], [("norm", "conv")])
    with pytest.raises(ValueError, match="set model.arguments.recompute=false"):
        prepare_for_replicas(keras.Model(inputs, layer([inputs])), 2, True)


def test_dropout_keeps_its_rate_and_scale():
    inputs = keras.Input((1000,))
    model = keras.Model(inputs, keras.layers.Dropout(0.25, seed=3)(inputs))
    before = model(np.ones((8, 1000), "float32"), training=True).numpy()
    prepare_for_replicas(model, 2)
    model.layers[-1].seed_generator.state.assign(keras.random.SeedGenerator(3).state)
    after = model(np.ones((8, 1000), "float32"), training=True).numpy()
    np.testing.assert_array_equal(before, after)
    assert set(np.unique(after)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_array_equal(model(np.ones((8, 1000), "float32")).numpy(), 1)


def test_the_strategies_of_a_process_number_their_all_reduces_apart():
    """`local_strategy` sets the private `_collective_key_base` of TensorFlow 2.21.0, from which the numbers start."""
    strategies = [local_strategy(["CPU:0", "CPU:1"]) for _ in range(2)]
    first, second = (set(each.extended._collective_keys._known_groups.values()) for each in strategies)
    assert first and second and not first & second
