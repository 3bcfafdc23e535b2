"""Everything private of Keras and TensorFlow that training needs, in one file.

Checked with Keras 3.15.1 and TensorFlow 2.21.0. tests/training/test_private_api.py has a test for each use, which fails
when an upstream release changes it.
"""

import contextlib
import random

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
from tensorflow.python.eager.context import context
from tensorflow.python.framework import config
from tensorflow.python.ops import stateful_random_ops

from kerasnets.data.pipeline import op_determinism

# Keras's global seed, and the generator of layers and calls that have none of their own.
KERAS_STATE = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)


@contextlib.contextmanager
def keep_process_state():
    """Restores seeds, random states, TensorFlow's global generator and op determinism when the context ends.

    So a notebook that calls `train` and then its own `fit` gets the same numbers as without `train`.
    """
    python, numpy, generator = random.getstate(), np.random.get_state(), stateful_random_ops.global_generator
    seed, draws = context()._seed, getattr(context(), "_rng", None)
    keras_state = {name: global_state.get_global_attribute(name) for name in KERAS_STATE}
    with op_determinism(config.is_op_determinism_enabled()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            context()._seed, context()._rng = seed, draws
            tf.random.set_global_generator(generator)
            for name, value in keras_state.items():
                global_state.set_global_attribute(name, value)


class BuiltModel(keras.Model):
    """A model that `fit` does not build: Keras would run one batch for that, which fails on some strategies."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass


def retrace(model: keras.Model) -> None:
    """Makes `fit` trace the training step again, after `trainable` of some layers has changed.

    Keras keeps the `trainable` of each layer at `compile`, to warn of changes. Without that state it does not warn.
    """
    vars(model).pop("_compiled_trainable_state", None)
    model.make_train_function(force=True)


class SummedGradients:
    """Makes a Keras optimizer take gradients that are already summed over the replicas.

    Put it before the optimizer class among the bases. Keras calls `before_clipping` and `after_clipping` with all
    gradients and their variables.
    """

    def before_clipping(self, gradients, variables) -> list:
        """Returns the gradients to clip."""
        return gradients

    def after_clipping(self, gradients, variables) -> list:
        """Returns the gradients of the update."""
        return gradients

    def index(self, variable) -> int:
        """Returns the place of a variable among those that the optimizer was built for."""
        return self._get_variable_index(variable)

    @property
    def means(self) -> list:
        """The running means of the gradients (Adam and LAMB), one for each variable."""
        return self._momentums

    @property
    def squares(self) -> list:
        """The running means of the squared gradients (Adam, LAMB, RMSprop), one for each variable."""
        return self._velocities

    def takes_adam(self, variable) -> bool:
        """Whether Muon updates a variable by Adam's step."""
        return True

    def _should_use_adamw(self, variable):
        return self.takes_adam(variable)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars

    def _backend_apply_gradients(self, grads, trainable_variables):
        grads = self.before_clipping(grads, trainable_variables)
        super()._backend_apply_gradients(grads, trainable_variables)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        grads = self.after_clipping(grads, trainable_variables)
        super()._backend_update_step(grads, trainable_variables, learning_rate)
