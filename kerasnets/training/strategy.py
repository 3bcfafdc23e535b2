"""Where training runs: one device without a strategy, several under MirroredStrategy."""

import contextlib

import keras
import tensorflow as tf


def visible_devices() -> list[str]:
    """Returns the names of all GPUs, or of all logical CPUs if there is no GPU."""
    return [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]


def make_strategy(devices: list[str] | None = None):
    """Returns MirroredStrategy over all visible devices, or the default strategy when there is one device.

    Args:
        devices: names such as `["GPU:0", "GPU:1"]`; by default `visible_devices()`.
    """
    devices = visible_devices() if devices is None else devices
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def check_batch_size(batch_size: int, replicas: int, gradient_accumulation: int = 1) -> None:
    """Refuses a training batch that does not divide: a replica with fewer examples would count them more."""
    parts = replicas * gradient_accumulation
    if batch_size % parts:
        raise ValueError(
            f"batch_size is global and must be a multiple of devices x gradient_accumulation = {replicas} x "
            f"{gradient_accumulation}; {batch_size - batch_size % parts or parts} would do. "
            f"Received: batch_size={batch_size}"
        )


def sum_over_replicas(values):
    """Sums a tensor, or each of a list, over the replicas; to be called inside a step."""
    context = tf.distribute.get_replica_context()
    return values if context.num_replicas_in_sync == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def update_everywhere(update, variables, others, *arguments) -> None:
    """Runs `update(variable, other, *arguments)` for each pair on every device; to be called inside a step."""

    def across(strategy, variables, others, *arguments):
        for variable, other in zip(variables, others, strict=True):
            strategy.extended.update(variable, update, args=(other, *arguments), group=False)

    tf.distribute.get_replica_context().merge_call(across, args=(variables, others, *arguments))


@contextlib.contextmanager
def precision(policy: str):
    """Builds with a dtype policy and puts the former one back."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)
