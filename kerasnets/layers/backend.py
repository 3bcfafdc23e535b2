"""TensorFlow for our layers, where it is Keras's backend. Under JAX and PyTorch it need not be installed."""

import importlib

import keras

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# `None` elsewhere: a layer uses it only in the branch that it takes on TensorFlow.
tf = importlib.import_module("tensorflow") if ON_TENSORFLOW else None
