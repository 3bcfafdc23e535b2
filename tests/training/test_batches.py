"""What a run is trained on: the batches that its recipe asks for."""

from pathlib import Path

import numpy as np
import pytest

from kerasnets.training import loop

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
PLAIN = "data.augmentation={}"


@pytest.fixture
def first_batch(tmp_path, monkeypatch):
    """Returns overrides -> the first batch (images, labels) of a run with them."""
    seen, made = [], loop.training_batches

    def noted(*arguments, **settings):
        dataset = made(*arguments, **settings)
        seen.append([np.asarray(part) for part in next(iter(dataset))])
        return dataset

    monkeypatch.setattr(loop, "training_batches", noted)

    def run(*overrides):
        loop.train(DIGITS, tmp_path / "run", smoke=True, overwrite=True, overrides=overrides, progress=False)
        return seen[-1]

    return run


def test_the_seed_of_the_recipe_decides_the_batches(first_batch):
    one, again, other = (first_batch(PLAIN, f"seed={seed}")[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_mixup_and_cutmix_reach_the_trainer(first_batch):
    _, labels = first_batch("data.augmentation={mixup: 5.0}")
    assert labels.shape[1] == 10 and ((labels > 0).sum(1) == 2).any()
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    images, labels = first_batch("data.augmentation={cutmix: 1.0}")
    assert images.dtype == np.uint8 and ((labels > 0).sum(1) == 2).any()


def test_cutout_reaches_the_trainer(first_batch):
    cutout = "data.augmentation={random_cutout: {height: [0.5, 0.5], width: [0.5, 0.5], fill_value: 255}}"
    plain, cut = (first_batch(augmentation)[0] for augmentation in (PLAIN, cutout))
    shares = (cut == 255).mean((1, 2, 3)) - (plain == 255).mean((1, 2, 3))
    assert (shares > 0.05).all()
