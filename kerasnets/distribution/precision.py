"""The precision of a run: what `auto` stands for on this machine, and how a recipe's precision is switched on."""

import contextlib

import keras
import tensorflow as tf

from kerasnets.graph.hardware import has_bfloat16
from kerasnets.model_index import read_model_index

# Multiply-adds of one image. On a processor with AVX-512's bfloat16, ResNet-20 for CIFAR (41 million) trains in 0.65 of
# the time of float32 and MobileNetV2 (301 million) in 0.68; LeNet-5 (0.3 million) gains nothing.
WORTH_CASTING = 10e6


def resolve(precision: str, name: str) -> str:
    """Returns the precision that `auto` stands for on this machine and for the variant `name`.

    bfloat16 where the hardware multiplies it, on a processor only for variants of at least `WORTH_CASTING`
    multiply-adds; else float32.
    """
    if precision != "auto":
        return precision
    if not has_bfloat16():
        return "float32"
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    worth_it = on_gpu or read_model_index().get(name, {}).get("multiply_adds", 0) >= WORTH_CASTING
    return "mixed_bfloat16" if worth_it else "float32"


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
