"""Fine-tuning by a recipe: weights of a file, frozen layers that keep their weights, stages that begin on time."""

import keras
import numpy as np
import pytest
import yaml
from nets import fill
from pydantic import TypeAdapter
from safetensors.numpy import save_file
from torch_arrays import torch_arrays

from kerasnets.build import create_model
from kerasnets.recipe.read import load_recipe
from kerasnets.recipe.schema import OptimizerOptions, ScheduleOptions
from kerasnets.runs import checkpoints
from kerasnets.runs.log import read_log
from kerasnets.training.loop import train
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.prepare import make_job


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of ResNet-20 with 100 classes and three channels."""
    model = create_model("resnet20_cifar", classes=100)
    fill(model)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file(torch_arrays(model), path)
    return path


def write_recipe(folder, weights, **changes):
    values = {
        "model": {"name": "resnet20_cifar", "arguments": {"weights": str(weights)}},
        "data": {"source": {"kind": "digits"}, "size": 16},
        "preprocessing": {"mean": [128], "std": [64]},
        "batch_size": 8,
        "epochs": 3,
        "steps_per_epoch": 2,
        "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.5},
        "freeze": {"stages": [{}, {"from_epoch": 1, "upto": "layer2"}, {"from_epoch": 2, "upto": "nothing"}]},
        "evaluation": {"keep": "last", "max_batches": 1},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def start_of(recipe, folder):
    """Returns the weights before the first step, by path."""
    network = make_job(load_recipe(recipe), folder).trainer.network
    return {v.path: np.array(v) for v in network.weights}


def moved(run, start):
    values = {v.path: np.array(v) for v in run.model.weights}
    return {path for path, value in values.items() if (value != start[path]).any()}


def stage_events(run):
    return [event for event in read_log(run.path) if event["event"] == "stage"]


def test_frozen_layers_keep_their_weights_and_the_head_is_trained(weights, tmp_path):
    recipe = write_recipe(tmp_path, weights, freeze={}, ema={"momentum": 0.9}, gradient_accumulation=2, epochs=1)
    start = start_of(recipe, tmp_path / "run")
    with_file = create_model("resnet20_cifar", weights=str(weights), classes=100)
    np.testing.assert_array_equal(start["layer1.0.conv1/kernel"], with_file.get_layer("layer1.0.conv1").kernel)
    assert not start["predictions/kernel"].any()  # all classes are equally likely
    run = train(recipe, tmp_path / "run", progress=False)
    assert moved(run, start) == {"predictions/kernel", "predictions/bias"}
    (said,) = [event for event in read_log(run.path) if event["event"] == "weights"]
    assert said["source"] == str(weights) and "1 adapted" in said["summary"]
    assert [line.split(":")[0] for line in said["kept_initial"]] == ["predictions.weight", "predictions.bias"]
    (stage,) = stage_events(run)
    assert stage["trained_parameters"] == 64 * 10 + 10


@pytest.mark.slow
def test_statistics_follow_the_images_where_the_recipe_says_so(weights, tmp_path):
    recipe = write_recipe(tmp_path, weights, freeze={"batch_norm": "train"}, epochs=1)
    start = start_of(recipe, tmp_path / "run")
    changed = moved(train(recipe, tmp_path / "run", progress=False), start)
    assert {"bn1/moving_mean", "bn1/gamma"} <= changed and not any("conv" in path for path in changed)


@pytest.mark.slow
def test_stages_begin_on_time_also_after_a_resume(weights, tmp_path):
    recipe = write_recipe(tmp_path, weights)
    start = start_of(recipe, tmp_path / "run")
    run = train(recipe, tmp_path / "run", progress=False)
    assert moved(run, start) == set(start)
    assert [event["epoch"] for event in stage_events(run)] == [1, 2, 3]
    trained = [event["trained_parameters"] for event in stage_events(run)]
    assert trained[0] == 650 and trained[0] < trained[1] < trained[2]
    # The run as it was after the second epoch.
    checkpoint, _ = checkpoints.load(run.path / "checkpoints" / "previous.safetensors")
    network = make_job(load_recipe(recipe), run.path).trainer.network
    after_two = {v.path: checkpoint[f"network/{i:04d}"] for i, v in enumerate(network.variables)}
    changed = {path.split(".")[0] for path in start if (after_two[path] != start[path]).any()}
    assert changed == {"layer3", "predictions/kernel", "predictions/bias"}
    straight = [np.array(w) for w in run.model.weights]
    for name in ("model.keras", "evaluation.json", "checkpoints/last.safetensors"):
        (run.path / name).unlink()
    again = train(recipe, tmp_path / "run", resume=True, progress=False)
    assert all((a == np.array(b)).all() for a, b in zip(straight, again.model.weights, strict=True))


@pytest.mark.parametrize(
    "freeze, words",
    [
        ({"stages": [{"upto": "layer9"}]}, "Did you mean 'layer3'"),
        ({"stages": [{"upto": "predictions"}]}, "leaves nothing to train"),
        ({"stages": [{"from_epoch": 1}]}, "should begin with from_epoch 0"),
        ({"stages": [{}, {"from_epoch": 2}, {"from_epoch": 2}]}, "should begin with from_epoch 0"),
        ({"stages": [{"layer": "layer1"}]}, "unknown key freeze.stages.0.layer"),
    ],
)
def test_wrong_requests_are_one_line_and_write_nothing(weights, tmp_path, freeze, words):
    with pytest.raises(ValueError) as caught:
        train(write_recipe(tmp_path, weights, freeze=freeze), tmp_path / "run", progress=False)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_no_such_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="No weights file"):
        train(write_recipe(tmp_path, tmp_path / "none.safetensors"), tmp_path / "run", progress=False)


def test_adam_corrects_its_bias_from_the_first_step_of_a_variable():
    """Trained from step 100 on, a variable takes the steps of one that is trained from the start."""
    values = TypeAdapter(OptimizerOptions).validate_python({"name": "adamw", "learning_rate": 0.1})
    schedule = Schedule(TypeAdapter(ScheduleOptions).validate_python({"name": "constant"}), 0.1, 10, 1000)
    early, late, fresh = (keras.Variable(np.zeros(3, np.float32), name=name) for name in ("early", "late", "fresh"))
    optimizer = make_optimizer(values, schedule, [early, late], first_steps=[0, 100])
    other = make_optimizer(values, schedule, [fresh])
    gradients = np.random.default_rng(0).standard_normal((120, 3)).astype(np.float32)
    for step, gradient in enumerate(gradients):
        if step < 100:
            optimizer.apply([keras.ops.array(gradient)], [early])
        else:
            optimizer.apply([keras.ops.array(gradient)] * 2, [early, late])
            other.apply([keras.ops.array(gradient)], [fresh])
            np.testing.assert_allclose(late, fresh, rtol=1e-4, atol=1e-6)
