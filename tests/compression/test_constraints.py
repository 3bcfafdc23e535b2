"""Pruned and shared weights in training: any optimizer, moving averages, resumed runs."""

import keras
import numpy as np
import pytest
from minimal_recipe import MINIMAL

from kerasnets.compression.constraints import Constraints
from kerasnets.recipe.compression_options import PruneOptions, ShareOptions
from kerasnets.recipe.read import load_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import open_run
from kerasnets.runs.log import read_log
from kerasnets.training.loop import train

PRUNE = {"sparsity": 0.5, "layers": {"c3": 0.8}, "from_epoch": 0, "to_epoch": 1.5, "every_epochs": 0.25}
SHARE = {"bits": 3, "from_epoch": 1.5}
CHANGES = {"steps_per_epoch": 8, "epochs": 3, "prune": PRUNE, "share": SHARE}


def recipe(**changes) -> Recipe:
    evaluation = {"max_batches": 1, "batch_size": 16}
    return Recipe.model_validate({**MINIMAL, "name": "small", "evaluation": evaluation, **CHANGES, **changes})


def kernels(model) -> dict[str, np.ndarray]:
    return {w.path.split("/")[-2]: w.numpy() for w in model.weights if w.path.endswith("kernel")}


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}, "ema": {"momentum": 0.9}},
        pytest.param(
            {
                "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
                "share": {**SHARE, "gradient": "mean"},
            },
            marks=pytest.mark.slow,
        ),
        pytest.param({"optimizer": {"name": "lamb", "learning_rate": 1e-3}}, marks=pytest.mark.slow),
        pytest.param({"optimizer": {"name": "rmsprop", "learning_rate": 1e-3}}, marks=pytest.mark.slow),
        pytest.param({"steps_per_execution": 4, "gradient_accumulation": 2}, marks=pytest.mark.slow),
    ],
    ids=lambda changes: "-".join(changes.get("optimizer", {"name": "other"})["name"].split()),
)
def test_pruned_weights_stay_zero_and_shared_ones_equal(changes, tmp_path):
    run = train(recipe(**changes), tmp_path / "run", progress=False)
    for name, kernel in kernels(run.model).items():
        zeros = {"c3": 0.8}.get(name, 0.5)
        assert (kernel == 0).sum() == round(zeros * kernel.size), name
        assert len(np.unique(kernel[kernel != 0])) <= 8, name
    notes = [line["change"] for line in read_log(tmp_path / "run") if line["event"] == "compression"]
    assert notes[0].startswith("pruned: 100") and any(note.endswith("at most 8 numbers") for note in notes)


def test_both_kernels_of_a_separable_convolution_are_pruned_and_shared():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.SeparableConv2D(8, 3, name="separable")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="predictions")(keras.layers.Flatten()(x)))
    blocks = PruneOptions(layers={"separable": 0.25}, every_epochs=1), ShareOptions(bits=1, from_epoch=2)
    constraints = Constraints(model, *blocks, steps_per_epoch=4, epochs=2, execution=1)
    assert "codebooks" in constraints.update(8, [])
    for name, zeros in (("depthwise", 7), ("pointwise", 6)):  # of 27 and 24 weights
        kernel = getattr(model.get_layer("separable"), f"{name}_kernel").numpy()
        assert (kernel == 0).sum() == zeros and len(np.unique(kernel[kernel != 0])) <= 2


class Stop(keras.callbacks.Callback):
    """Ends the process's training after some steps, as a crash does."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("crash")


@pytest.mark.parametrize("after", [5, pytest.param(14, marks=pytest.mark.slow)])
def test_a_resumed_run_has_the_same_masks_and_weights(after, tmp_path):
    wanted = recipe(checkpoint={"every_steps": 1}, ema={"momentum": 0.9})
    whole = train(wanted, tmp_path / "whole", progress=False)
    with pytest.raises(RuntimeError, match="crash"):
        train(wanted, tmp_path / "run", progress=False, callbacks=[Stop(after)])
    train(wanted, tmp_path / "run", resume=True, progress=False)
    for ours, theirs in zip(open_run(tmp_path / "run").model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    first, second = (checkpoints.load(tmp_path / n / "checkpoints" / "last.safetensors")[0] for n in ("run", "whole"))
    states = [name for name in first if name.startswith("compression/")]
    assert len(states) == 3 * len(kernels(whole.model))
    assert all((first[name] == second[name]).all() for name in states)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"prune": {"to_epoch": 9}}, "prune.from_epoch should be before prune.to_epoch"),
        ({"share": {"bits": 3, "from_epoch": 1}}, "shared weights are no longer pruned"),
        ({"share": {"bits": 9, "from_epoch": 2}}, "share.bits"),
        ({"prune": {"sparsity": 1.0}, "share": None}, "prune.sparsity"),
    ],
)
def test_a_wrong_block_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        recipe(**changes)


def test_an_unknown_layer_is_named(tmp_path):
    with pytest.raises(ValueError, match="prune.layers or share.layers: The layers with kernels are c1, c3"):
        train(recipe(prune={**PRUNE, "layers": {"conv9": 0.5}}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["lenet5_caffe_mnist", "lenet_300_100_mnist"])
def test_a_smoke_run_prunes_and_shares(name):
    smoke = load_recipe(name, smoke=True)
    assert smoke.prune.to_epoch == smoke.share.from_epoch == 0.5
