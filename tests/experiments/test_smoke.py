"""Every experiment that comes with the package trains each of its arms for two steps, and takes all its measures."""

import math

import pytest

from kerasnets.experiments.run import run_experiment
from kerasnets.recipe.shipped import experiment_names

# One measures an epoch that a smoke run does not have.
QUICK = ("lenet_output", "batch_norm", "alexnet_vote", "vgg_two_3x3", "cardinality")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in experiment_names()]
)
def test_smoke(name, tmp_path):
    result = run_experiment(name, tmp_path / "runs", smoke=True, progress=False)
    assert result.smoke and not result.missing and not result.failed
    for arm in (*result.experiment.arms, *result.experiment.ensembles):
        assert math.isfinite(result.interval(arm).mean)
