"""Reading recipes, and the one line that answers a wrong one."""

import pytest
import yaml
from minimal_recipe import MINIMAL

from kerasnets.recipe.read import differing_keys, dump_recipe, load_recipe


@pytest.fixture
def recipe_file(tmp_path):
    def write(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(MINIMAL | changes))
        return path

    return write


def test_defaults_name_and_round_trip(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file())
    assert recipe.name == "mine" and recipe.optimizer.momentum == 0.9 and recipe.schedule.name == "constant"
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_overrides_are_yaml_and_apply_in_order(recipe_file):
    recipe = load_recipe(
        recipe_file(),
        ["optimizer.learning_rate=1e-3", "epochs=5", "epochs=7", "ema.momentum=0.5", "schedule={name: cosine}"],
    )
    assert recipe.optimizer.learning_rate == 1e-3 and recipe.epochs == 7
    assert recipe.ema.momentum == 0.5 and recipe.schedule.name == "cosine"
    assert differing_keys(recipe, load_recipe(recipe_file(), ["epochs=7"])) == [
        "optimizer.learning_rate",
        "schedule.name",
        "schedule.final",
        "ema",
    ]


def test_smoke_is_two_small_steps(recipe_file):
    recipe = load_recipe(recipe_file(batch_size=256), smoke=True)
    assert (recipe.epochs, recipe.steps_per_epoch, recipe.batch_size) == (1, 2, 8)
    assert recipe.evaluation.max_batches == 1


WRONG = [
    ("optimizer.learing_rate=0.1", "unknown key optimizer.learing_rate. Did you mean 'learning_rate'? Allowed here:"),
    ("optmizer=3", "unknown key optmizer. Did you mean 'optimizer' or 'quantize'?"),
    ("data.sorce={}", "unknown key data.sorce. Did you mean 'source' or 'service'?"),
    ("data.augmentation.afine={}", "unknown key data.augmentation.afine. Did you mean 'affine'"),
    (
        "data.source.kind=digit",
        "data.source.kind should be 'digits', 'folder', 'arrays', 'tfds', 'tfrecord' or 'own'. Received",
    ),
    (
        "optimizer.name=sdg",
        "optimizer.name should be one of sgd, adamw, rmsprop, lamb, muon. Did you mean 'sgd'? Received: 'sdg'",
    ),
    ("optimizer={learning_rate: 1}", "optimizer.name is missing. Allowed: sgd, adamw, rmsprop, lamb"),
    ("optimizer={name: sgd}", "optimizer.learning_rate is missing"),
    (
        "optimizer={name: adamw, learning_rate: 1, nesterov: true}",
        "unknown key optimizer.nesterov. Allowed here: beta_1",
    ),
    ("optimizer.momentum=1.0", "optimizer.momentum should be less than 1. Received: 1.0"),
    ("batch_size=many", "batch_size should be a valid integer. Received: 'many'"),
    ("batch_size=true", "batch_size should be a valid integer. Received: True"),
    ("batch_size=0", "batch_size should be greater than 0. Received: 0"),
    ("epochs=1.5", "epochs should be a valid integer"),
    (
        "precision=half",
        "precision should be 'float32', 'mixed_float16', 'mixed_bfloat16', 'onednn_bfloat16' or 'auto'. ",
    ),
    ("schedule={name: step}", "schedule.milestones is missing"),
    ("schedule={name: cosine, milestones: [1]}", "unknown key schedule.milestones"),
    ("optimizer.learning_rate=.inf", "optimizer.learning_rate should be a finite number"),
    ("model=lenet5_modern", "model should be a block of `key: value`. Received: 'lenet5_modern'"),
    ("epochs.of=3", "--set epochs.of=3: epochs is 2, which has no keys of its own."),
    ("epochs", "An override should have the form key.key=value. Received: --set 'epochs'"),
    ("epochs=[1", "not valid YAML"),
]


@pytest.mark.parametrize(("override", "message"), WRONG, ids=[override for override, _ in WRONG])
def test_errors_are_one_line_that_names_key_and_remedy(recipe_file, override, message):
    with pytest.raises(ValueError) as caught:
        load_recipe(recipe_file(), [override])
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "{a: [", "", "epochs: 1\nepochs: 2\n", "!!python/object:os.system {}"])
def test_files_that_are_no_recipe(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError) as caught:
        load_recipe(tmp_path / "bad.yaml")
    assert "bad.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_answered_with_the_closest(recipe_file):
    path = recipe_file()
    with pytest.raises(FileNotFoundError, match="Did you mean"):
        load_recipe(path.with_name("mne.yaml"))
