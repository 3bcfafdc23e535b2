"""What `kerasnets.train` leaves of a process that goes on after it: everything as it was."""

import random
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled

from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


def draws() -> list:
    """A number from every source of chance that a notebook has."""
    layer = keras.layers.Dense(2)
    layer.build((1, 2))
    generator = tf.random.get_global_generator()
    numbers = [random.random(), np.random.rand(), tf.random.uniform([]), keras.random.uniform([]), layer.kernel]
    return [np.asarray(number) for number in (*numbers, generator.uniform([]), keras.random.uniform([], seed=3))]


@pytest.mark.parametrize("error", [False, True])
def test_a_notebook_goes_on_as_if_nothing_had_been_trained(tmp_path, error):
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
    from tensorflow.python.eager.context import global_seed

    former = global_seed()
    train(DIGITS, tmp_path / "run", smoke=True, progress=False)
    assert global_seed() == former
