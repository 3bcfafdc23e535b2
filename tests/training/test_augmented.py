"""Training as recipes run it (deterministic ops, a global seed) with the augmentation and sources that could mind."""

from pathlib import Path

import numpy as np
import pytest

from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.augmentation.mixup=0.2", "data.augmentation.cutmix=1.0"],
        ["data.augmentation.random_cutout={height: [0.3, 0.3], width: [0.3, 0.3]}", "seed=0"],
    ],
    ids=["mixup and cutmix", "cutout"],
)
def test_batch_augmentation_trains(overrides, tmp_path):
    run = train(DIGITS, tmp_path / "run", smoke=True, overrides=overrides, progress=False)
    assert np.isfinite(run.evaluation["loss"])


def test_a_stream_trains_with_seed_zero(tfds_folder, tmp_path):
    recipe = Path(__file__).parents[2] / "recipes" / "resnet20_cifar.yaml"
    source = f"data.source={{kind: tfds, name: shades, data_dir: {tfds_folder}, download: false}}"
    run = train(recipe, tmp_path / "run", smoke=True, overrides=[source, "seed=0", "data.evaluation_split=train"])
    assert np.isfinite(run.evaluation["loss"])
