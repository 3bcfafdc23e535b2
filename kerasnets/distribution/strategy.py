"""Where training runs: one device, several under MirroredStrategy, several machines under MultiWorkerMirroredStrategy.

Each of several machines (workers) runs the same command and finds its place in `TF_CONFIG`. Worker 0, the chief, is the
only one that writes.
"""

import dataclasses
import json
import os

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cluster:
    """This process's place among the workers of a job."""

    workers: int = 1
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def share(self, batch_size: int) -> slice:
        """Returns which examples of a batch this worker reads."""
        size = batch_size // self.workers
        return slice(self.index * size, (self.index + 1) * size)


def cluster() -> Cluster:
    """Returns what `TF_CONFIG` says; without it this process is alone.

    Raises:
        ValueError: `TF_CONFIG` is something else than a list of workers and a place in it.
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
    """Returns the names of all GPUs of this machine, or of all its logical CPUs if there is no GPU."""
    return [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]


def make_strategy():
    """Returns the strategy of a training run: over all workers if there are several, else `local_strategy()`.

    Several workers wait here for one another. Nothing else may have run on TensorFlow's devices before.
    """
    return tf.distribute.MultiWorkerMirroredStrategy() if cluster().workers > 1 else local_strategy()


def local_strategy(devices: list[str] | None = None):
    """Returns MirroredStrategy over this machine's devices, or the default strategy when there is one device.

    Args:
        devices: names such as `["GPU:0", "GPU:1"]`; by default `visible_devices()`, and one if there are workers.
    """
    if devices is None:
        devices = visible_devices() if cluster().workers == 1 else []
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    # Two strategies of one process take each other's all-reduces for their own, since TensorFlow numbers both from 1;
    # its tests do the same about it.
    tf.distribute.MirroredStrategy._collective_key_base += 1000
    return tf.distribute.MirroredStrategy(devices)


def check_batch_size(batch_size: int, replicas: int, gradient_accumulation: int = 1, workers: int = 1) -> None:
    """Refuses a training batch that cannot be cut: into the shares of workers, or into micro-batches on each device."""
    parts = replicas * gradient_accumulation if gradient_accumulation > 1 or workers > 1 else 1
    if batch_size % parts or batch_size < replicas:
        parts = replicas * gradient_accumulation
        raise ValueError(
            f"batch_size is global and must be a multiple of devices x gradient_accumulation = {replicas} x "
            f"{gradient_accumulation}; {batch_size - batch_size % parts or parts} would do. "
            f"Received: batch_size={batch_size}"
        )


def check_compilation(jit_compile: bool, replicas: int) -> None:
    """Refuse XLA on several devices: the step sums over the replicas, for which TensorFlow leaves the compiled code."""
    if jit_compile and replicas > 1:
        raise ValueError(
            "jit_compile compiles the step of one device; leave it out, or train on one device. "
            f"Received: jit_compile=true, {replicas} devices"
        )


def distribute(strategy, dataset, batch_size: int):
    """Gives `fit` batches that the workers have cut up themselves; on one machine the strategy does it.

    Args:
        dataset: what this worker reads, in batches of its share.
        batch_size: the global batch.
    """
    here = cluster()
    if here.workers == 1:
        return dataset
    if strategy.num_replicas_in_sync > here.workers:
        dataset = dataset.rebatch(batch_size // strategy.num_replicas_in_sync)
    return strategy.distribute_datasets_from_function(lambda context: dataset)


def same_everywhere(strategy, number: int) -> bool:
    """Whether all replicas come with the same number; all workers wait here for one another."""

    @tf.function
    def numbers(number):
        def step(number):
            return sum_over_replicas(tf.stack([number, number**2]))

        return strategy.run(step, args=(number,))

    total, squares = strategy.experimental_local_results(numbers(tf.constant(float(number), tf.float64)))[0].numpy()
    return total == strategy.num_replicas_in_sync * number and squares == strategy.num_replicas_in_sync * number**2


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
