"""The precision of a run: what `auto` stands for on this machine, and how a recipe's precision is switched on."""

import contextlib

import keras
import tensorflow as tf

from kerasnets.graph.hardware import has_bfloat16


def resolve(precision: str) -> str:
    """Returns the precision that `auto` stands for on this machine: the faster form of bfloat16 if it has it."""
    if precision != "auto":
        return precision
    if not has_bfloat16():
        return "float32"
    return "mixed_bfloat16" if tf.config.list_physical_devices("GPU") else "onednn_bfloat16"


@contextlib.contextmanager
def computing_in(precision: str):
    """A context that builds and runs networks in a recipe's precision (not `auto`), then restores the former one.

    `onednn_bfloat16` leaves the layers in float32. TensorFlow's graph optimizer adds the casts around convolutions and
    matrix products when a function first runs, so the whole run must stand inside the context.
    """
    policy, options = keras.config.dtype_policy(), tf.config.optimizer.get_experimental_options()
    onednn = precision == "onednn_bfloat16"
    keras.config.set_dtype_policy("float32" if onednn else precision)
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": onednn})
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        former = options.get("auto_mixed_precision_onednn_bfloat16", False)
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": former})
