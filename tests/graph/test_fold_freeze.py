"""Folding batch normalisation changes nothing; freezing changes what it says and nothing else."""

import keras
import numpy as np
import pytest
from nets import build_twin, fill, pixels, representatives

from kerasnets.graph.fold import fold_batch_norm
from kerasnets.graph.freeze import freeze
from kerasnets.graph.walk import calls, producer
from kerasnets.layers.batch_norm import BatchNormalization

# One of each kind of layer before a batch norm: dense grouped, depthwise, deformable, concatenated, none.
QUICK = ("resnext50_32x4d", "mobilenet_v2", "resnet50_dcn", "resnet18_v2", "densenet_bc100_12_cifar", "vgg11")


def norms(model):
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def check_folded(model, bound=1e-5):
    fill(model)
    x = pixels((2, *model.input_shape[1:]))
    before, weights = np.asarray(model(x, training=False)), model.get_weights()
    folded = fold_batch_norm(model)
    after = np.asarray(folded(x, training=False))
    assert np.abs(after - before).max() < bound * before.std() and before.std() > 0
    assert all((a == b).all() for a, b in zip(model.get_weights(), weights, strict=True))
    assert folded.name == model.name and not {id(w) for w in folded.weights} & {id(w) for w in model.weights}
    return folded


def check_no_norm_is_left_behind_a_linear_layer(folded):
    read = [(call.layer, tensor) for call in calls(folded) for tensor in call.inputs]
    for layer, tensor in read:
        if isinstance(layer, keras.layers.BatchNormalization):
            alone = sum(other is tensor for _, other in read) == 1
            assert not (alone and hasattr(producer(tensor), "kernel")), layer.name


@pytest.mark.parametrize("name", QUICK)
def test_folding_changes_nothing(name):
    check_no_norm_is_left_behind_a_linear_layer(check_folded(build_twin(name, classifier_activation=None)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in representatives("family", "body") if name not in QUICK])
def test_folding_changes_nothing_in_any_family(name):
    check_no_norm_is_left_behind_a_linear_layer(check_folded(build_twin(name, classifier_activation=None)))


def test_folding_a_small_model_of_every_case():
    inputs = keras.Input((8, 8, 3))
    left = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="left")(inputs)
    right = keras.layers.SeparableConv2D(5, 3, padding="same", depth_multiplier=2, name="right")(inputs)
    x = BatchNormalization(name="both", scale=False)(keras.layers.Concatenate()([left, right]))
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(keras.layers.ReLU()(x))
    x = BatchNormalization(name="after_depthwise", center=False)(x)
    shared = keras.layers.Conv2D(6, 1, name="shared")(x)
    x = keras.layers.Add()([BatchNormalization(name="must_stay")(shared), shared])
    x = keras.layers.Conv2D(4, 1, activation="relu", name="active")(x)
    x = keras.layers.Flatten()(BatchNormalization(name="behind_relu")(x))
    x = BatchNormalization(name="after_dense")(keras.layers.Dense(7, name="dense")(x))
    model = keras.Model(inputs, {"a": x, "b": shared}, name="small")
    fill(model)
    folded, x = fold_batch_norm(model), pixels((2, 8, 8, 3))
    assert norms(folded) == ["must_stay", "behind_relu"]
    for key, value in model(x).items():
        np.testing.assert_allclose(folded(x)[key], value, atol=1e-5 * float(np.std(value)))


@pytest.mark.slow
def test_folding_keeps_auxiliary_heads():
    model = build_twin("googlenet_torchvision", classifier_activation=None, aux_heads=True)
    fill(model)
    folded, x = fold_batch_norm(model), pixels((1, *model.input_shape[1:]))
    assert not norms(folded) and len(folded(x)) == 3
    for key, value in model(x).items():
        np.testing.assert_allclose(folded(x)[key], value, atol=1e-5 * float(np.std(value)))


def trained(model):
    return {variable.path for variable in model.trainable_variables}


def step(model, optimizer=None):
    """One step with a large rate; returns the paths of the variables that changed."""
    model.compile(optimizer or keras.optimizers.AdamW(0.1, weight_decay=0.1), "mse", jit_compile=False)
    before = {v.path: np.array(v) for v in model.weights if "seed" not in v.path}
    model.train_on_batch(pixels((4, *model.input_shape[1:])), np.ones((4, *model.output_shape[1:]), np.float32))
    return {path for v in model.weights if (path := v.path) in before and (np.array(v) != before[path]).any()}


def test_freezing_all_but_the_classifier():
    model = build_twin("resnet20_cifar", classifier_activation=None)
    fill(model)
    frozen = freeze(model)
    assert frozen[0] == "conv1" and "predictions" not in frozen and len(frozen) == 2 * len(norms(model))
    assert step(model) == {"predictions/kernel", "predictions/bias"} == trained(model)


@pytest.mark.slow
def test_batch_norm_may_go_on_in_the_frozen_part():
    model = build_twin("resnet20_cifar", classifier_activation=None)
    fill(model)
    freeze(model, batch_norm="train")
    changed = step(model)
    assert {path.split("/")[1] for path in changed if path.startswith("bn1/")} == {
        "gamma", "beta", "moving_mean", "moving_variance",
    }  # fmt: skip
    assert all(path.split("/")[0] in {*norms(model), "predictions"} for path in changed)


def test_freezing_a_part_and_unfreezing_it():
    model = build_twin("resnet20_cifar", classifier_activation=None)
    everything = trained(model)
    frozen = freeze(model, "layer2")
    assert {name.split(".")[0] for name in frozen} == {"conv1", "bn1", "layer1", "layer2"}
    assert {path.split(".")[0] for path in step(model)} == {"layer3", "predictions/kernel", "predictions/bias"}
    assert freeze(model, "layer1.0.conv1") == ("conv1", "bn1", "layer1.0.conv1")
    assert freeze(model, "nothing") == () and trained(model) == everything


@pytest.mark.parametrize("name", ["nin_cifar", "densenet_bc100_12_cifar"])
def test_the_classifier_is_what_is_left(name):
    extras = {"recompute": True} if name.startswith("densenet") else {}
    model = build_twin(name, **extras)
    fill(model)
    freeze(model)
    (kernel, bias) = trained(model)
    assert kernel.split("/")[0] == bias.split("/")[0]
    assert all(shape[-1] == 10 for shape in (v.shape for v in model.trainable_variables))
    assert step(model) <= trained(model)


def test_a_network_without_its_top_is_frozen_whole():
    model = build_twin("resnet20_cifar", include_top=False)
    freeze(model)
    assert not model.trainable_variables


def test_wrong_requests():
    model = build_twin("resnet20_cifar")
    with pytest.raises(ValueError, match="Did you mean 'layer2'"):
        freeze(model, "layer22")
    with pytest.raises(ValueError, match="batch_norm='off'"):
        freeze(model, batch_norm="off")
