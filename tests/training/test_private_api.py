"""Private API of Keras and TensorFlow in training/private_api.py: each use has a test that fails when upstream changes.

Checked with Keras 3.15.1 and TensorFlow 2.21.0.
"""

import random
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager.context import global_seed
from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled

from kerasnets.training.loop import train
from kerasnets.training.private_api import BuiltModel, SummedGradients, retrace

# Only then does Keras warn of layers that are frozen after `compile`.
WARNS = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15)
DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


def draws() -> list:
    """A number from every source of chance that a notebook has."""
    layer = keras.layers.Dense(2)
    layer.build((1, 2))
    generator = tf.random.get_global_generator()
    numbers = [random.random(), np.random.rand(), tf.random.uniform([]), keras.random.uniform([]), layer.kernel]
    return [np.asarray(number) for number in (*numbers, generator.uniform([]), keras.random.uniform([], seed=3))]


@pytest.mark.parametrize("error", [False, True])
def test_training_leaves_the_state_of_the_process_as_it_was(tmp_path, error):
    found = []
    disable_op_determinism()
    for between in (False, True):
        keras.utils.set_random_seed(7)
        tf.random.set_global_generator(tf.random.Generator.from_seed(7))
        before = draws()
        if between and error:
            with pytest.raises(ValueError, match="31"):
                train(DIGITS, tmp_path / "run", smoke=True, overrides=["data.size=31"], progress=False)
        elif between:
            train(DIGITS, tmp_path / "run", smoke=True, progress=False)
        assert not is_op_determinism_enabled()
        found.append([*before, *draws()])
    for without, with_training in zip(*found, strict=True):
        np.testing.assert_array_equal(without, with_training)


def test_a_process_without_seeds_stays_without(tmp_path):
    former = global_seed()
    train(DIGITS, tmp_path / "run", smoke=True, progress=False)
    assert global_seed() == former


def one_weight(kind=keras.Model) -> keras.Model:
    """A compiled model of one layer, a subclass of `kind`."""

    class OneWeight(kind):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
            self.dense.build((None, 1))
            self.built = True

        def call(self, inputs):
            return self.dense(inputs)

    model = OneWeight()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


def fit(model) -> None:
    model.fit(np.ones((4, 1), "float32"), np.zeros((4, 1), "float32"), batch_size=4, verbose=0)


def test_fit_asks_a_model_to_build_itself_by_the_method_that_is_left_out(monkeypatch):
    asked = []
    monkeypatch.setattr(keras.Model, "_maybe_symbolic_build", lambda self, **_: asked.append(self))
    fit(one_weight())
    fit(one_weight(BuiltModel))
    assert len(asked) == 1 and not isinstance(asked[0], BuiltModel)


@pytest.mark.parametrize("helped", [True, False])
def test_a_layer_that_is_frozen_after_compile_is_frozen_without_a_warning(helped):
    model = one_weight()
    model.dense.trainable = False
    if helped:
        retrace(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Keras below 3.15 does not warn; `fit` of 3.15.1 does not come to it, by a mistake of its own.
        getattr(model, "_warn_if_trainable_state_changed", lambda: None)()
    assert any("trainable" in str(each.message) for each in caught) == (WARNS and not helped)


def test_the_step_is_traced_again_for_a_layer_that_is_frozen_after_compile():
    model = one_weight()
    fit(model)
    before = model.get_weights()[0].item()
    model.dense.trainable = False
    retrace(model)
    fit(model)
    assert model.get_weights()[0].item() == before != 1.0


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.AdamW, keras.optimizers.Lamb])
def test_optimizers_call_the_hooks_in_their_order(kind):
    calls = []

    class Spy(SummedGradients, kind):
        def before_clipping(self, gradients, variables):
            calls.append(("before", float(gradients[0][0]), self.index(variables[0])))
            return gradients

        def after_clipping(self, gradients, variables):
            calls.append(("after", float(gradients[0][0]), self.index(variables[0])))
            return gradients

        def _all_reduce_sum_gradients(self, grads_and_vars):
            calls.append(("sum", float(grads_and_vars[0][0][0]), 0))
            return super()._all_reduce_sum_gradients(grads_and_vars)

    variable = keras.Variable(np.ones(1, "float32"))
    optimizer = Spy(learning_rate=0.1, global_clipnorm=1.0)
    optimizer.build([variable])
    optimizer.apply([tf.constant([4.0])], [variable])
    assert calls == [("before", 4.0, 0), ("after", 1.0, 0), ("sum", 1.0, 0)]


@pytest.mark.parametrize("kind", [keras.optimizers.AdamW, keras.optimizers.Lamb, keras.optimizers.RMSprop])
def test_running_means_are_where_they_are_looked_for(kind):
    class Ours(SummedGradients, kind):
        pass

    variable = keras.Variable(np.ones(1, "float32"))
    optimizer = Ours(learning_rate=0.1)
    optimizer.build([variable])
    optimizer.apply([tf.constant([2.0])], [variable])
    share = 1.0 - (optimizer.rho if kind is keras.optimizers.RMSprop else optimizer.beta_2)
    np.testing.assert_allclose(optimizer.squares[0].numpy(), [4.0 * share], rtol=1e-5)
    if kind is not keras.optimizers.RMSprop:
        np.testing.assert_allclose(optimizer.means[0].numpy(), [2.0 * (1.0 - optimizer.beta_1)], rtol=1e-5)
