"""Channels removed by group, and the network built smaller."""

import keras
import numpy as np
import pytest
from nets import build_twin, fill, pixels

from kerasnets.compression.structured import channels_of, is_narrowable, narrowed
from kerasnets.graph.cost import complexity


def dead_channels(model, share) -> None:
    """Makes the channels that are to go useless: their filters, biases, scales and offsets become zero."""
    from kerasnets.compression import structured

    channels = channels_of(model)
    removed = structured._removed(model, channels, share, 1)
    for layer, _, outputs in structured.calls(model):
        if layer.weights and (is_narrowable(layer) or isinstance(layer, keras.layers.BatchNormalization)):
            gone = np.array([root in removed for root in channels.roots(outputs[0])])
            for weight in layer.weights:
                if weight.name in ("kernel", "bias", "gamma", "beta"):
                    value = weight.numpy()
                    value[..., gone] = 0
                    weight.assign(value)


NETS = ["squeezenet1_0", "resnet18", "mobilenet_v2", "densenet121", "lenet5_modern"]


@pytest.mark.parametrize(
    "name", [n if n in ("squeezenet1_0", "resnet18") else pytest.param(n, marks=pytest.mark.slow) for n in NETS]
)
def test_channels_of_zeros_can_go(name):
    """Zero filters with zero biases contribute nothing: without them the outputs stay."""
    model = build_twin(name)
    fill(model)
    dead_channels(model, 0.5)
    small = narrowed(model, 0.5, multiple=1)
    x = pixels((2, *model.input_shape[1:]))
    np.testing.assert_allclose(small(x), model(x), atol=2e-4)
    ours, theirs = complexity(small), complexity(model)
    assert ours.parameters < 0.7 * theirs.parameters and ours.multiply_adds < 0.8 * theirs.multiply_adds
    assert small.output_shape == model.output_shape and small.name == model.name


def test_residual_sums_stay_right():
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(16, 3, padding="same", name="stem")(x)
    y = keras.layers.Conv2D(16, 3, padding="same", name="branch")(x)
    x = keras.layers.Add()([x, y])
    model = keras.Model(inputs, keras.layers.Dense(4, name="predictions")(keras.layers.GlobalAveragePooling2D()(x)))
    small = narrowed(model, 0.5, multiple=4)
    assert small.get_layer("stem").filters == small.get_layer("branch").filters == 8
    assert small.get_layer("predictions").kernel.shape == (8, 4)
    norms = [np.sqrt(np.square(model.get_layer(n).kernel.numpy()).sum((0, 1, 2))) for n in ("stem", "branch")]
    score = sum(each / each.mean() for each in norms)
    kept = np.sort(np.argsort(score)[8:])
    np.testing.assert_array_equal(small.get_layer("stem").kernel, model.get_layer("stem").kernel.numpy()[..., kept])


def test_a_wrong_share_is_refused():
    with pytest.raises(ValueError, match="`share` should be at least 0 and below 1. Received: share=1"):
        narrowed(build_twin("lenet5_modern"), 1)
