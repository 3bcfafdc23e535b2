"""What a training run sets for the whole process, put back when it ends, so that a notebook's next `fit` is as before.

TensorFlow's and Keras's own states have no public way to be read; checked with TensorFlow 2.21 and Keras 3.15, and
tests/training/test_private_api.py fails when they change.
"""

import contextlib
import random

import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
from tensorflow.python.eager.context import context
from tensorflow.python.framework import config
from tensorflow.python.ops import stateful_random_ops

from kerasnets.data.determinism import op_determinism

# Keras's seed, and its generator for layers and calls without one of their own.
KERAS = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)


@contextlib.contextmanager
def process_state_kept():
    """A context after which seeds, random states, TensorFlow's global generator and op determinism are as before."""
    python, numpy, generator = random.getstate(), np.random.get_state(), stateful_random_ops.global_generator
    seed, draws = context()._seed, getattr(context(), "_rng", None)
    keras_state = {name: global_state.get_global_attribute(name) for name in KERAS}
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
