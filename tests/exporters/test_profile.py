"""Profiles: counts, times, and weights that do not change."""

import json

import keras
import numpy as np
import pytest

from kerasnets.exporters.profile import profile


def tiny_net() -> keras.Model:
    inputs = x = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, name="predictions")(x), name="tiny")


def test_profile_counts_and_measures_and_changes_nothing():
    net = tiny_net()
    before = net.get_weights()
    found = profile(net, batch_size=2, steps=2)
    assert found["parameters"] == 4 * 27 + 8 + 25 and found["multiply_adds"] == 64 * 4 * 27 + 20
    assert sum(row["multiply_adds"] for row in found["layers"]) == found["multiply_adds"]
    assert {row["name"] for row in found["layers"]} >= {"conv", "bn", "predictions"}
    for speed in (found["inference"], found["training_step"]):
        assert speed["milliseconds"] > 0
        assert speed["images_per_second"] == pytest.approx(2000 / speed["milliseconds"])
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))
    json.dumps(found)


def test_profile_can_leave_training_out():
    assert profile(tiny_net(), 1, 1, training=False)["training_step"] is None


def test_profile_wants_positive_numbers():
    with pytest.raises(ValueError, match="Received: batch_size=0, steps=10"):
        profile(tiny_net(), batch_size=0)


def test_profile_answers_an_unknown_name_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'resnet50'"):
        profile("resnet5O")
