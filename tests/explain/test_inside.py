"""Experiments inside networks, on tiny ones, against what the definition says."""

import keras
import numpy as np
import pytest
from bright_squares import brightness, photos
from nets import build_twin, fill, pixels

import kerasnets
from kerasnets import explain


def filled(name: str):
    model = build_twin(name)
    fill(model)
    return model, pixels((6, *model.input_shape[1:]))


@pytest.mark.parametrize("name", ["resnet20_cifar", "resnet110_stochastic_depth_cifar"])
def test_without_a_block_only_its_shortcut_is_left(name):
    model, images = filled(name)
    labels = np.asarray(model(images)).argmax(axis=1)
    blocks = explain.blocks_of(model)
    found = explain.lesion(model, images, labels, blocks[:2])
    assert list(found) == ["whole", *blocks[:2]] and found["whole"] == 0
    # A block whose branch is zero can be deleted without a change.
    for layer in model.layers:
        layer = getattr(layer, "branch", layer)
        for inner in getattr(layer, "layers", [layer]):
            if inner.name.startswith("layer1.0.") and "bn2" in inner.name:
                inner.set_weights([0 * weight if i < 2 else weight for i, weight in enumerate(inner.get_weights())])
    labels = np.asarray(model(images)).argmax(axis=1)
    assert explain.lesion(model, images, labels, [blocks[0]])[blocks[0]] == 0
    many = explain.lesions(model, images, labels, [0, len(blocks)], draws=2)
    assert many[0] == [0.0, 0.0] and len(set(many[len(blocks)])) == 1
    with pytest.raises(ValueError, match="names of residual additions"):
        explain.lesion(model, images, labels, ["layer9"])
    with pytest.raises(ValueError, match="residual blocks is needed. Received: the Sequential"):
        explain.lesion(brightness(), *photos())


def in_order(order, layers, shortcut_first=True):
    """A small ResNet, whose blocks 0, 1 and 3 are called in a given order; block 2 has a projection."""
    image = keras.Input((8, 8, 3))
    x = layers["begin"](image)
    for number in order:
        first, norm, second, add, relu = layers[number]
        both = [layers["projection"](x) if number == 2 else x, second(norm(first(x)))]
        x = relu(add(both if shortcut_first else both[::-1]))
    return keras.Model(image, layers["end"](keras.layers.GlobalAveragePooling2D()(x)))


def parts_of_a_resnet() -> dict:
    keras.utils.set_random_seed(0)

    def conv(name, stride=1):
        return keras.layers.Conv2D(6, 3, stride, padding="same", name=name)

    layers = {"begin": conv("begin"), "projection": conv("projection", 2), "end": keras.layers.Dense(5, name="end")}
    for n in range(4):
        rest = keras.layers.BatchNormalization(name=f"bn{n}"), conv(f"second{n}")
        layers[n] = conv(f"first{n}", 1 + (n == 2)), *rest, keras.layers.Add(name=f"add{n}"), keras.layers.ReLU()
    return layers


def test_shuffled_blocks_are_called_in_the_other_order():
    """Two blocks can take each other's place: the swapped network is the one built by hand in that order."""
    layers, images = parts_of_a_resnet(), pixels((200, 8, 8, 3))
    model = in_order([0, 1, 2, 3], layers)
    labels = np.asarray(in_order([1, 0, 2, 3], layers)(images)).argmax(axis=1)
    own = np.mean(np.asarray(model(images)).argmax(axis=1) != labels)
    found = explain.shuffles(model, images, labels, [0, 1, 2], draws=2)
    assert own > 0.05 and found[0] == found[2] == [(pytest.approx(1), pytest.approx(own))] * 2
    assert found[1] == [(pytest.approx(2 / 3), 0.0)] * 2  # one of the six pairs of blocks is in the other order
    with pytest.raises(ValueError, match="two residual blocks of one shape"):
        explain.shuffles(brightness(), *photos(), [1])


def test_the_shortcut_may_be_the_second_input_of_an_addition():
    layers, images = parts_of_a_resnet(), pixels((200, 8, 8, 3))
    model, turned = (in_order([0, 1, 2, 3], layers, first) for first in (True, False))
    labels = np.asarray(model(images)).argmax(axis=1)
    assert explain.blocks_of(turned) == [f"add{n}" for n in range(4)]
    assert explain.lesion(turned, images, labels) == explain.lesion(model, images, labels)
    for counts in ([1], [3]):
        shuffled = [explain.shuffles(net, images, labels, counts) for net in (model, turned)]
        assert shuffled[0] == shuffled[1] and shuffled[0][counts[0]][0].error > 0


@pytest.mark.parametrize("name", ["resnet20_cifar", "resnet110_stochastic_depth_cifar", "mobilenet_v2"])
def test_networks_whose_blocks_can_be_swapped(name):
    model = kerasnets.create_model(name, input_shape=(32, 32, 3)) if name == "mobilenet_v2" else build_twin(name)
    images = pixels((6, *model.input_shape[1:]))
    labels = np.asarray(model(images)).argmax(axis=1)
    found = explain.shuffles(model, images, labels, [0, 1], draws=2)
    assert found[0] == [(pytest.approx(1), 0.0)] * 2 and max(one.tau for one in found[1]) < 1


def test_deviations_are_those_of_the_normalisations():
    model, images = filled("resnet20_cifar")
    found = explain.response_deviations(model, images)
    outputs = keras.Model(model.input, model.get_layer("bn1").output)(images)
    assert found["bn1"] == pytest.approx(float(np.std(outputs)), rel=1e-5)
    assert len(found) == sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def test_excitations():
    model, images = filled("se_resnet50")
    found = explain.excitations(model, images[:2])
    assert len(found) == len(explain.blocks_of(model))
    assert all(values.shape[0] == 2 and (values > 0).all() and (values < 1).all() for values in found.values())
    name, values = next(iter(found.items()))
    means = explain.excitations(model, np.repeat(images[:2], [1, 2], axis=0), [5, 2, 2])[name]
    assert np.allclose(means, values[[1, 0]], atol=1e-6)
    with pytest.raises(ValueError, match="a label for each of 2 images. Received: 1 labels"):
        explain.excitations(model, images[:2], [1])
    with pytest.raises(ValueError, match="squeeze-and-excitation is needed"):
        explain.excitations(brightness(), photos()[0])


def test_feature_reuse():
    """A layer that has zeros for the maps of one source does not use it."""
    model, _ = filled("densenet121")
    found = explain.feature_reuse(model)
    name, sources = max(found.items(), key=lambda item: len(item[1]))
    layer, first = model.get_layer(name), list(sources)[1]
    kernel = layer.get_weights()
    channels = [model.get_layer(source).output.shape[-1] for source in sources]
    assert sum(channels) == kernel[0].shape[2]
    kernel[0][:, :, channels[0] : channels[0] + channels[1]] = 0
    layer.set_weights(kernel)
    after = explain.feature_reuse(model)[name]
    assert after[first] == 0 and all(after[key] == sources[key] for key in sources if key != first)


def test_columns_of_a_fractal_network():
    model, images = filled("fractalnet20_cifar")
    labels = np.asarray(model(images)).argmax(axis=1)
    found = explain.column_errors(model, images, labels)
    assert list(found) == list(range(1, len(found) + 1)) and len(found) >= 3
    assert all(0 <= error <= 1 for error in found.values())
    with pytest.raises(ValueError, match="A FractalNet is needed"):
        explain.column_errors(brightness(), *photos())


def test_effective_receptive_field_of_one_convolution():
    """Three by three pixels, whatever the image."""
    image = keras.Input((9, 9, 1))
    x = keras.layers.Conv2D(1, 3, padding="same", name="one", kernel_initializer="ones")(image)
    x = keras.layers.Conv2D(2, 3, padding="same", name="two", kernel_initializer="ones")(x)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    field, side = explain.effective_receptive_field(model, "one", pixels((2, 9, 9, 1)))
    assert side == 3 and field[3:6, 3:6].min() == 1 and np.count_nonzero(field) == 9
    field, side = explain.effective_receptive_field(model, "two", pixels((2, 9, 9, 1)))
    assert np.count_nonzero(field) == 25 and field[4, 4] == 1 and field[2, 2] == pytest.approx(1 / 9)


def test_loss_landscape_has_the_network_in_its_middle_and_leaves_it_alone():
    model, (images, _) = brightness(), photos()
    before, labels = model.get_weights(), np.arange(8) % 4

    def loss():
        return float(keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, model(images), True)))

    here = loss()
    found = explain.loss_landscape(model, loss, points=3, span=0.5)
    assert found.shape == (3, 3) and found[1, 1] == pytest.approx(here) and len(np.unique(found.round(6))) > 4
    for kept, now in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(kept, now)


def test_directions_have_the_norms_of_the_filters():
    from kerasnets.explain.inside import filter_normalised

    value = np.random.default_rng(0).normal(size=(3, 3, 4, 5))
    direction = filter_normalised(value, np.random.default_rng(1))
    norms = [np.sqrt((part**2).sum(axis=(0, 1, 2))) for part in (value, direction)]
    assert np.allclose(*norms) and not filter_normalised(np.ones(7), np.random.default_rng(1)).any()
