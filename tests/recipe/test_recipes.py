"""Every recipe is read, names a registered network, states its cost, and trains through the real trainer."""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from data_files import write_folder
from minimal_recipe import MINIMAL
from nets import build_twin, fill

from kerasnets.recipe.read import load_recipe, parse_recipe
from kerasnets.registry import get_variant, variant_names

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
# These read a folder, and two small classes are enough for a smoke run. The others have data or download it.
FROM_FOLDER = [path for path in RECIPES if path.stem.endswith(("_imagenet", "_cifar"))]
QUICK = ("nin_cifar",)


def header(path) -> dict[str, str]:
    """Returns the header of a recipe as {word: text}; a line of it has a word, two spaces and a text."""
    found, word = {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"# ([A-Z][a-z]+) {2,}(.*)", line):
            word = match[1]
            found[word] = match[2]
        elif word and re.match(r"# {5,}\S", line):
            found[word] += " " + line[1:].strip()
        else:
            word = None
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_header_and_network(path):
    recipe, lines = load_recipe(path), header(path)
    assert recipe.model.name in variant_names()
    assert {"Command", "Cost", "Result"} <= set(lines)
    comments = re.findall(r"^#.*", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.search(r"\b(19|20)\d\d\b", " ".join(comments)), "the header names the paper and its year"
    result = lines["Result"]
    assert result.startswith("not run") or re.search(r"\d %", result), "a result is measured, or it says `not run`"
    if path in FROM_FOLDER:
        assert f"kerasnets train recipes/{path.name} --set data.source.path=DIR" in lines["Command"]
    heads = get_variant(recipe.model.name).aux if "aux_heads" in recipe.model.arguments else ()
    assert set(recipe.loss.weights) == set(heads)


@pytest.mark.parametrize("path", FROM_FOLDER, ids=lambda path: path.stem)
def test_steps_in_the_header_are_those_of_the_recipe(path):
    recipe = load_recipe(path)
    steps = recipe.steps_per_epoch or (1281167 if "imagenet" in path.stem else 50000) // recipe.batch_size
    assert header(path)["Cost"].startswith(f"{steps * recipe.epochs:,} steps of {recipe.batch_size:,} images")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_the_sources_of_all_recipes_share(path):
    """RMSprop starts with 1 as in TensorFlow 1, borders have the mean colour, and L2 is clipped as in TF-slim."""
    recipe = load_recipe(path)
    optimizer, border = recipe.optimizer, recipe.data.augmentation.pad_and_crop
    if optimizer.name == "rmsprop":
        assert optimizer.initial_accumulator == 1.0
    if border:
        assert border.mode in ("mean", "reflect")
    if optimizer.clip_norm and optimizer.name in ("rmsprop", "sgd"):
        assert optimizer.clip_weight_decay


@pytest.mark.parametrize("path", [p for p in RECIPES if p.stem.endswith("_imagenet")], ids=lambda path: path.stem)
def test_recipes_for_imagenet_use_bfloat16_where_the_machine_has_it(path):
    assert load_recipe(path).precision == "auto"


# Wightman, Touvron and Jegou 2021, table 2: what A1 to A3 share, and learning rate, weight decay, epochs, smoothing,
# RandAugment, mixup, copies, stochastic depth and the size of training images.
SHARED = {"name": "lamb", "batch_size": 2048, "warmup_epochs": 5, "loss": "binary_cross_entropy", "cutmix": 1.0}
PROCEDURES = {
    "resnet50_a1_imagenet": (5e-3, 0.01, 600, 0.1, (0.7, 0.05, 0.5), 0.2, 3, 0.05, None),
    "resnet50_modern_imagenet": (5e-3, 0.02, 300, 0.0, (0.7, 0.05, 0.5), 0.1, 3, 0.05, None),
    "resnet50_a3_imagenet": (8e-3, 0.02, 100, 0.0, (0.6, 0.05, 0.5), 0.1, 1, None, 160),
}


@pytest.mark.parametrize("name", PROCEDURES)
def test_resnet_strikes_back(name):
    recipe = load_recipe(name)
    optimizer, loss, augmentation = recipe.optimizer, recipe.loss, recipe.data.augmentation
    rand, depth = augmentation.rand_augment, recipe.model.arguments.get("stochastic_depth")
    strength = (rand.magnitude, rand.magnitude_stddev, rand.rate)
    found = (optimizer.learning_rate, optimizer.weight_decay, recipe.epochs, loss.label_smoothing, strength)
    found += (augmentation.mixup, augmentation.repeats, depth, recipe.data.training_size)
    assert found == PROCEDURES[name]
    assert rand.policy == "timm" and recipe.data.crop_fraction == 0.95 and recipe.ema is None
    shared = (optimizer.name, recipe.batch_size, recipe.schedule.warmup_epochs, loss.name, augmentation.cutmix)
    assert shared == tuple(SHARED.values())


def test_the_rungs_of_torchvisions_ladder_lead_from_its_first_recipe_to_its_second():
    first, second = (load_recipe(f"resnet50_torchvision_v{n}_imagenet") for n in (1, 2))
    text = (RECIPES[0].parent / "resnet50_torchvision_v1_imagenet.yaml").read_text(encoding="utf-8")
    rungs = re.findall(r"^#   (\d\d\.\d{3})  [\w ]+: +(.*(?:\n#  {10,}.*)*)", text, re.MULTILINE)
    assert [float(figure) for figure, _ in rungs] == [
        76.494, 76.806, 78.606, 78.796, 79.114, 79.232, 79.51, 80.036, 80.196, 80.45, 80.674, 80.858,
    ]  # fmt: skip
    overrides, recipes = [], [first]
    for _, words in rungs:
        overrides += [word for word in shlex.split(words.replace("\n#", "")) if word != "--set"]
        recipes.append(load_recipe("resnet50_torchvision_v1_imagenet", overrides))
    assert all(a != b for a, b in itertools.pairwise(recipes))
    assert recipes[-1].model_copy(update={"name": second.name}) == second


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "val", "test"):
        write_folder(root, split=split)
    return root


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow, id=path.stem) for path in FROM_FOLDER],
)
def test_smoke_run(path, folder, tmp_path):
    import keras

    from kerasnets.training.loop import train

    keras.backend.clear_session()
    recipe = load_recipe(path)
    row = get_variant(recipe.model.name)
    # A folder of twenty images: batches of at most 16.
    overrides = [f"data.source.path={folder}", "model.start=null"]
    overrides.append(f"gradient_accumulation={min(recipe.gradient_accumulation, 2)}")
    if "imagenet" in path.stem:
        overrides.append(f"data.size={max(row.min_size, 64 if row.aux else 32)}")
    run = train(path, tmp_path / "run", smoke=True, overrides=overrides, progress=False)
    assert run.evaluation["examples"] == 8 and np.isfinite(run.evaluation["loss"])


VGG_START = load_recipe(Path(__file__).parents[2] / "recipes" / "vgg16_imagenet.yaml").model.start


def test_the_deeper_vgg_begins_with_the_layers_of_configuration_a(tmp_path):
    from kerasnets.training.initial_weights import copy_layers

    shallow, deep = build_twin("vgg11"), build_twin("vgg16")
    fill(shallow)
    shallow.save(tmp_path / "a.keras")
    before = deep.get_layer("features.2").kernel.numpy()
    filled = copy_layers(deep, VGG_START.model_copy(update={"weights": str(tmp_path / "a.keras")}))
    # The paper: the first four convolutions and the last three dense layers.
    assert filled == [*(f"features.{i}" for i in (0, 5, 10, 12)), "classifier.0", "classifier.3", "predictions"]
    convolutions = [layer.name for layer in deep.layers if layer.weights][:7]
    assert [name for name in convolutions if name in filled] == [
        "features.0",
        "features.5",
        "features.10",
        "features.12",
    ]
    for ours, theirs in VGG_START.layers.items():
        for a, b in zip(deep.get_layer(ours).weights, shallow.get_layer(theirs).weights, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(deep.get_layer("features.2").kernel.numpy(), before)
    same = VGG_START.model_copy(update={"weights": str(tmp_path / "a.keras"), "layers": None})
    assert "features.0" in copy_layers(deep, same)
    for pair, text in (
        ({"features.1000": "features.0"}, "no layer"),
        ({"features.0": "features.3"}, "leave that layer"),
    ):
        with pytest.raises(ValueError, match=text):
            copy_layers(deep, same.model_copy(update={"layers": pair}))


def test_rates_and_weight_decay_of_parts_of_the_network():
    import keras

    from kerasnets.training.optimizers import make_optimizer

    model = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.DepthwiseConv2D(3, name="block.conv_dw")])
    model.add(keras.layers.Conv2D(2, 1, name="block.conv_pw"))
    for name in ("sgd", "rmsprop", "adamw", "lamb"):
        fill(model)
        before = {v.path: v.numpy() for v in model.trainable_variables}
        block = {"name": name, "learning_rate": 0.1, "weight_decay": 0.5, "undecayed": ["conv_dw"]}
        options = parse_recipe(MINIMAL | {"optimizer": block}).optimizer
        optimizer = make_optimizer(options, 0.1, model.trainable_variables)
        optimizer.apply([keras.ops.zeros_like(v) for v in model.trainable_variables], model.trainable_variables)
        moved = [v.path for v in model.trainable_variables if (v.numpy() != before[v.path]).any()]
        assert moved == [model.get_layer("block.conv_pw").kernel.path], name
    block = {"name": "sgd", "learning_rate": 0.1, "rates": {"bias": 2.0}}
    options = parse_recipe(MINIMAL | {"optimizer": block}).optimizer
    optimizer = make_optimizer(options, 0.1, model.trainable_variables)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    optimizer.apply([keras.ops.ones_like(v) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:  # AlexNet's: biases at twice the rate
        step = 0.2 if variable.path.endswith("bias") else 0.1
        np.testing.assert_allclose(before[variable.path] - variable.numpy(), step, rtol=1e-5)
    with pytest.raises(ValueError, match="no weight has this part"):
        make_optimizer(options.model_copy(update={"undecayed": ("dw9",)}), 0.1, model.trainable_variables)
