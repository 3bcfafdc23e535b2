"""Where training runs: on one device, on several (MirroredStrategy), on several machines (MultiWorkerMirroredStrategy).

Each machine of a job (worker) runs the same command and reads its place in the job from `TF_CONFIG`. Only worker 0, the
chief, writes files.
"""

import dataclasses
import json
import os

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cluster:
    """This process's place among the workers of a job."""

    workers: int = 1
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.index == 0

    def share(self, batch_size: int) -> slice:
        """Returns the part of a batch that this worker reads."""
        size = batch_size // self.workers
        return slice(self.index * size, (self.index + 1) * size)


def cluster() -> Cluster:
    """Returns this process's place in the job, from `TF_CONFIG`; without it, the only worker.

    Raises:
        ValueError: `TF_CONFIG` is not a list of workers with an index in it.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return Cluster()
    try:
        config = json.loads(text)
        hosts = {job: len(config["cluster"].get(job, ())) for job in ("chief", "worker")}
        job, index = config["task"]["type"], int(config["task"]["index"])
        if job not in hosts or not 0 <= index < hosts[job] or set(config["cluster"]) - set(hosts):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError):
        example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
        raise ValueError(f"TF_CONFIG should be like {example}. Received: TF_CONFIG={text!r}") from None
    return Cluster(sum(hosts.values()), index + (hosts["chief"] if job == "worker" else 0))


def visible_devices() -> list[str]:
    """Returns the names of all GPUs of this machine, or of all its logical CPUs if it has no GPU."""
    return [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]


def make_strategy():
    """Returns the strategy of a training run: over all workers if there are several, else `local_strategy()`.

    Waits until all workers have called it. No operation may have run on TensorFlow's devices before.
    """
    return tf.distribute.MultiWorkerMirroredStrategy() if cluster().workers > 1 else local_strategy()


def local_strategy(devices: list[str] | None = None):
    """Returns MirroredStrategy over this machine's devices, or the default strategy when there is one device.

    Args:
        devices: names such as `["GPU:0", "GPU:1"]`. By default `visible_devices()`; one device if there are several
            workers.
    """
    if devices is None:
        devices = visible_devices() if cluster().workers == 1 else []
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    # TensorFlow numbers the all-reduces of every strategy from 1, so two strategies of one process would mix them up.
    # A private attribute, which TensorFlow's own tests set for this reason; checked with 2.21.0 by
    # tests/distribution/test_distributed_steps.py.
    tf.distribute.MirroredStrategy._collective_key_base += 1000
    return tf.distribute.MirroredStrategy(devices)


def check_batch_size(batch_size: int, replicas: int, gradient_accumulation: int = 1, workers: int = 1) -> None:
    """Checks that a batch can be divided among the workers, and into micro-batches on each device.

    Raises:
        ValueError: it cannot.
    """
    parts = replicas * gradient_accumulation if gradient_accumulation > 1 or workers > 1 else 1
    if batch_size % parts or batch_size < replicas:
        parts = replicas * gradient_accumulation
        raise ValueError(
            f"batch_size is global and must be a multiple of devices x gradient_accumulation = {replicas} x "
            f"{gradient_accumulation}; {batch_size - batch_size % parts or parts} would do. "
            f"Received: batch_size={batch_size}"
        )


def check_compilation(jit_compile: bool, replicas: int, synchronized_batch_norm: bool, quantize=None) -> None:
    """Checks that XLA need not compile a sum over the replicas, which it cannot.

    Raises:
        ValueError: it would have to.
    """
    for key, value in (("synchronized_batch_norm=true", synchronized_batch_norm), ("quantize", quantize)):
        if jit_compile and replicas > 1 and value:
            raise ValueError(
                f"jit_compile and {key.split('=')[0]} work together on one device only; leave one of them out. "
                f"Received: jit_compile=true, {key}, {replicas} devices"
            )


def compiles(jit_compile: bool, network) -> bool:
    """Whether XLA compiles the step: if it is asked for, but not grouped convolutions on a CPU.

    There XLA's gradient of a grouped or depthwise convolution takes many times as long as TensorFlow's kernel.
    """
    depthwise = (keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    grouped = any(isinstance(layer, depthwise) or getattr(layer, "groups", 1) > 1 for layer in network.layers)
    return jit_compile and not (grouped and not tf.config.list_logical_devices("GPU"))


def distribute(strategy, dataset, *, divided: bool):
    """Returns the dataset for `fit`, from what this worker reads.

    A single GPU gets its next batch while it works on the one before, as several do.

    Args:
        divided: whether an element of `dataset` is the part of one device, in turn; else it is a whole batch, which the
            strategy divides.
    """
    devices = visible_devices()
    if strategy.num_replicas_in_sync == len(devices) == cluster().workers == 1 and "GPU" in devices[0]:
        return copied_ahead(dataset, devices[0])
    if divided:
        return strategy.distribute_datasets_from_function(lambda context: dataset)
    return strategy.experimental_distribute_dataset(dataset)


def copied_ahead(dataset, device: str):
    """Returns the dataset with its next batch always in the memory of `device`."""
    return dataset.apply(tf.data.experimental.prefetch_to_device(device))
