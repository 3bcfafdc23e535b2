"""What makes several devices quick, shown on graphs and tensors: packs of gradients, XLA in a replica, placement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasnets.cli.output import start_tensorflow

FACTS = Path(__file__).parents[1] / "support" / "device_facts.py"


@pytest.fixture(scope="module")
def facts():
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1"}
    result = subprocess.run([sys.executable, str(FACTS)], capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_gradients_are_summed_in_packs_while_the_backward_pass_goes_on(facts):
    small, default = facts["small packs"], facts["default packs"]
    assert facts["default"] == 32 * 2**20 and default["packs"] == 1
    # The sums of the last layers' gradients do not wait for that of the first convolution.
    assert small["packs"] > 1 and 0 < small["wait_for_the_first_layer"] < small["packs"]


def test_packs_do_not_change_the_weights(facts):
    assert facts["small packs"]["weights"] == facts["default packs"]["weights"]


def test_xla_compiles_the_step_of_each_replica(facts):
    assert facts["compiled"] == ["CPU:0", "CPU:1"]


def test_two_devices_evaluate_with_weights_of_their_own_and_count_the_same(facts):
    found = facts["evaluated"]
    one, two = found["scores"]
    assert found["weights"] == ["CPU:0", "CPU:1"] and one["examples"] == two["examples"] == 360
    assert one["confusion"] == two["confusion"] and one["top5"] == two["top5"]
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-6)
    assert [w["index"] for w in one["wrong"]] == [w["index"] for w in two["wrong"]]


def test_data_in_memory_stays_on_the_host(facts):
    assert facts["places"]["data"] == ["CPU:0"]


def test_the_next_batch_is_copied_to_a_single_gpu_ahead(facts):
    places = facts["places"]
    assert places["one GPU"] == "/device:GPU:0"
    assert places["copied"] == ["CPU:1"] and places["values"] == [[0, 1], [2, 3], [4, 5]]


def test_the_commands_give_each_gpu_threads_of_its_own(monkeypatch):
    for chosen, found in ((None, "gpu_private"), ("global", "global")):
        monkeypatch.delenv("TF_GPU_THREAD_MODE", raising=False)
        if chosen:
            monkeypatch.setenv("TF_GPU_THREAD_MODE", chosen)
        start_tensorflow()
        assert os.environ["TF_GPU_THREAD_MODE"] == found
