"""The results in docs/experiments are of the experiments as they are now, and their networks learned."""

from pathlib import Path

import pytest

from kerasnets.experiments.read import load_experiment
from kerasnets.experiments.result import read_result

RESULTS = sorted((Path(__file__).parents[2] / "docs" / "experiments" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_result_is_of_the_experiment_as_it_is_now(path):
    result, now = read_result(path).experiment, load_experiment(path.stem)
    for key in ("recipe", "arms", "measure", "expect"):
        assert getattr(result, key) == getattr(now, key), key


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_networks_of_an_arm_learned(path):
    """An experiment whose networks all fail says nothing about its claim."""
    errors = [numbers["held_out_error"] for numbers in read_result(path).values.values() if "held_out_error" in numbers]
    if not errors:
        pytest.skip("measures no held-out error")
    assert min(sum(seeds.values()) / len(seeds) for seeds in errors) < 0.3
