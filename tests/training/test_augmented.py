"""Training with augmentation of the batch, and from a stream: the recipe's keys change the weights, repeatably."""

from pathlib import Path

import numpy as np
import pytest

from kerasnets.runs import checkpoints
from kerasnets.training.loop import train

RECIPES = Path(__file__).parents[2] / "recipes"
# Six steps, among which the draw between MixUp and CutMix chooses both; without other augmentation.
DIGITS = ["data.augmentation={}", "epochs=1", "steps_per_epoch=6", "steps_per_execution=6", "batch_size=8"]
DIGITS += ["evaluation.max_batches=1"]
MIXUP, CUTMIX = "data.augmentation.mixup=0.2", "data.augmentation.cutmix=1.0"
CUTOUT = "data.augmentation.random_cutout={height: [0.3, 0.3], width: [0.3, 0.3]}"


def weights(run) -> np.ndarray:
    """All weights of a finished run, one after the other."""
    tensors, _ = checkpoints.load(run.path / "checkpoints" / "last.safetensors")
    return np.concatenate([value.ravel() for name, value in sorted(tensors.items()) if name.startswith("network/")])


def test_each_augmentation_of_the_batch_changes_what_is_learned(tmp_path):
    """A key that the trainer ignores gives the weights of another run in this list."""
    found = {}
    for name, keys in {
        "mixup": [MIXUP], "cutmix": [CUTMIX], "both": [MIXUP, CUTMIX], "cutout too": [MIXUP, CUTMIX, CUTOUT],
    }.items():  # fmt: skip
        overrides = [*DIGITS, *keys]
        run = train(RECIPES / "lenet5_digits.yaml", tmp_path / name, overrides=overrides, progress=False)
        found[name] = weights(run)
        assert np.isfinite(found[name]).all()
    names = list(found)
    same = [(a, b) for i, a in enumerate(names) for b in names[:i] if np.array_equal(found[a], found[b])]
    assert not same


@pytest.mark.parametrize("seed", [0, pytest.param(5, marks=pytest.mark.slow)])
def test_a_stream_trains_the_same_weights_each_time(tfds_folder, tmp_path, seed):
    """Seed 0 too, for which TensorFlow has rules of its own."""
    source = f"data.source={{kind: tfds, name: shades, data_dir: {tfds_folder}, download: false}}"
    overrides = [source, f"seed={seed}", "data.evaluation_split=train", "model={name: lenet5_modern}"]
    recipe = RECIPES / "resnet20_cifar.yaml"
    settings = {"smoke": True, "overrides": overrides, "progress": False}
    runs = [train(recipe, tmp_path / name, **settings) for name in ("one", "two")]
    np.testing.assert_array_equal(*map(weights, runs))
    assert np.isfinite(weights(runs[0])).all() and runs[0].evaluation["examples"] == 8
