"""Every number of a recipe is finite and inside its range, in every block and at any depth."""

import pytest
import yaml
from minimal_recipe import MINIMAL

from kerasnets.recipe.read import load_recipe

FLOATS = [
    "data.augmentation.mixup",
    "data.augmentation.cutmix",
    "data.augmentation.pca_lighting",
    "data.augmentation.random_cutout.fill_value",
    "data.bad_image_limit",
    "data.crop_fraction",
    "data.validation_fraction",
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "optimizer.clip_norm",
    "schedule.warmup_epochs",
    "loss.label_smoothing",
    "loss.weights.aux1",
    "ema.momentum",
    "optimizer.rates.bias",
    "model.arguments.dropout",
    "model.spec.filters.width",
]
PAIRS = [
    "data.augmentation.affine.scale",
    "data.augmentation.random_resized_crop.ratio",
    "data.augmentation.random_resized_crop.scale",
    "preprocessing.mean",
    "preprocessing.std",
    "model.spec.filters",
]
OUT_OF_RANGE = [
    ("data.augmentation.mixup=1e6", "less than or equal to 100"),
    ("data.augmentation.cutmix=-0.1", "greater than or equal to 0"),
    ("data.augmentation.pca_lighting=1000", "less than or equal to 10"),
    ("data.augmentation.repeats=1000000", "less than or equal to 100"),
    ("data.augmentation.rand_augment.count=1000", "less than or equal to 20"),
    ("data.augmentation.affine.scale=[2, 1]", "from low to high"),
    ("data.augmentation.affine.scale=[0, 1]", "greater than 0"),
    ("data.augmentation.random_cutout.height=[0.6, 0.5]", "from low to high"),
    ("data.augmentation.pad_and_crop.padding=100000", "less than or equal to 512"),
    ("data.size=1000000", "less than or equal to 4096"),
    ("preprocessing.mean=[-1, 0, 0]", "greater than or equal to 0"),
    ("preprocessing.mean=[1, 2, 300]", "less than or equal to 255"),
    ("seed=4294967296", "less than or equal to 4294967295"),
]


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | {"schedule": {"name": "cosine"}}))
    return path


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("key", FLOATS + PAIRS)
def test_no_number_is_nan_or_infinite(recipe_file, key, value):
    text = f"[1.0, {value}]" if key in PAIRS else value
    with pytest.raises(ValueError) as caught:
        load_recipe(recipe_file, [f"{key}={text}"])
    message = str(caught.value)
    named = ".".join(key.split(".")[:2]) if key.startswith("model.") else key  # the value shows the rest
    assert named in message and "finite" in message and "Received: " in message and "\n" not in message


@pytest.mark.parametrize(("override", "allowed"), OUT_OF_RANGE, ids=[override for override, _ in OUT_OF_RANGE])
def test_numbers_out_of_range_are_refused(recipe_file, override, allowed):
    with pytest.raises(ValueError) as caught:
        load_recipe(recipe_file, [override])
    assert override.split("=")[0] in str(caught.value) and allowed in str(caught.value)
