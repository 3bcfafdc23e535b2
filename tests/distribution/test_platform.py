"""Errors of Keras and TensorFlow under tf.distribute, which our trainer works around.

A test that fails here is good news: upstream has fixed an error, and its workaround may go
(`kerasnets/training/trainer.py`, `optimizers.py`, `private_api.py`).
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kerasnets.distribution.local_workers import free_ports, worker_environment

JOB = Path(__file__).parents[1] / "support" / "platform_job.py"
pytestmark = [pytest.mark.slow, pytest.mark.platform]


def platform(fact: str, workers: int = 1):
    """Returns the result of each process."""
    ports = free_ports(workers)
    environments = [worker_environment(ports, index) if workers > 1 else None for index in range(workers)]
    command = [sys.executable, str(JOB), fact]
    jobs = [subprocess.Popen(command, env=each, stdout=subprocess.PIPE, text=True) for each in environments]
    return [json.loads(job.communicate(timeout=300)[0]) for job in jobs]


def test_fit_with_several_workers_raises():
    """keras#20585. Our trainer reads its metrics outside the replicas and skips the symbolic build."""
    assert platform("several_workers_fit", workers=2) == [True, True]


def test_gradient_accumulation_on_several_devices_raises():
    """keras#20582. Our training step splits the batch itself."""
    assert platform("accumulation") == [True]


def test_gradients_are_clipped_before_they_are_summed():
    """Our optimizers take gradients that are already summed."""
    assert platform("clipping") == [pytest.approx([0.95, 0.90])]


def test_an_empty_replica_makes_the_weights_of_batch_norm_nan():
    """Our training batches are full, and evaluation batches are padded with examples of weight 0."""
    assert platform("empty_replica") == [False]


def test_an_uneven_batch_trains_differently_on_two_devices():
    """Our loss is the sum over examples divided by the global batch; it gives 0.9 on any number of devices."""
    one, two = platform("uneven_batch")[0]
    assert one == pytest.approx(0.9) and two == pytest.approx(0.85)
