"""In which precision a network computes, as a recipe says it, and what the machine at hand is quick in."""

import contextlib
from pathlib import Path

import keras
import tensorflow as tf

# NVIDIA's tensor cores multiply bfloat16 from this compute capability on.
AMPERE = (8, 0)
# What Linux calls the instructions of processors that multiply bfloat16.
PROCESSOR, PROCESSOR_FLAGS = Path("/proc/cpuinfo"), {"avx512_bf16", "amx_bf16"}


def has_bfloat16() -> bool:
    """Whether all GPUs, or the processor where there is none, multiply bfloat16 in hardware."""
    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(each.get("compute_capability", (0, 0)) >= AMPERE for each in details)
    lines = PROCESSOR.read_text().splitlines() if PROCESSOR.exists() else []
    return any(PROCESSOR_FLAGS & set(line.split()) for line in lines if line.startswith("flags"))


def resolve(precision: str) -> str:
    """Returns what `auto` stands for on this machine: bfloat16 where it has it, in the form that is quickest there."""
    if precision != "auto":
        return precision
    if not has_bfloat16():
        return "float32"
    return "mixed_bfloat16" if tf.config.list_physical_devices("GPU") else "onednn_bfloat16"


@contextlib.contextmanager
def computing_in(precision: str):
    """Builds and runs with a recipe's precision (not `auto`) and puts the former state back.

    `onednn_bfloat16` leaves the layers in float32; TensorFlow's graph optimizer puts its casts around the convolutions
    and products when it sees a training step for the first time, which is why it holds until the run has ended.
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
