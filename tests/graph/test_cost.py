"""What a network costs and sees: nested models, transposed convolutions, layers that cannot be counted."""

import keras
import numpy as np
import pytest

from kerasnets.build import create_model
from kerasnets.graph.cost import complexity, reach


@pytest.mark.parametrize("size", [None, 64])
def test_a_nested_network_costs_what_it_costs_alone(size):
    backbone = create_model("resnet18", include_top=False, input_shape=(size, size, 3))
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, keras.layers.Dense(5, name="head")(x))
    alone = complexity(create_model("resnet18", include_top=False, input_shape=(64, 64, 3)))
    cost = complexity(model)
    assert cost.multiply_adds == alone.multiply_adds + 512 * 5
    assert cost.activations == alone.activations + 5
    assert sum(layer.parameters for layer in cost.layers) == cost.parameters == alone.parameters + 512 * 5 + 5
    inside = [layer for layer in cost.layers if layer.name.startswith(f"{backbone.name}/")]
    assert [layer.name.partition("/")[2] for layer in inside] == [layer.name for layer in alone.layers]
    assert [layer.output_shape for layer in inside] == [layer.output_shape for layer in alone.layers]


def test_a_network_inside_a_network_inside_a_sequential():
    inner = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(3, 3, name="conv")], name="inner")
    middle_input = keras.Input((8, 8, 2))
    middle = keras.Model(middle_input, [inner(middle_input), middle_input], name="middle")
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, middle(inputs)[0])
    assert complexity(model).multiply_adds == 6 * 6 * 3 * 9 * 2
    assert [layer.name for layer in complexity(model).layers] == ["middle/inner/conv"]
    assert complexity(keras.Sequential([keras.Input((8, 8, 2)), inner])).multiply_adds == 6 * 6 * 3 * 9 * 2
    assert reach(model)["middle/inner/conv"].receptive_field == 3


def test_receptive_fields_of_lenet():
    """LeCun et al. 1998, figure 2: a unit of C5 sees the whole 32x32 image; S2 and S4 halve the map."""
    found, published = reach(create_model("lenet5")), {"c1": 5, "s2": 6, "c3": 14, "s4": 16, "c5": 32}
    assert {name: found[name].receptive_field for name in published} == published
    assert (found["s2"].stride, found["s4"].stride) == (2, 4)


def test_what_cannot_be_counted_is_refused():
    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="subclassed")
            self.conv = keras.layers.Conv2D(3, 3)

        def call(self, x):
            return self.conv(x)

    inputs = keras.Input((8, 8, 2))
    frames = keras.Input((4, 8, 8, 2))
    wrapped = keras.layers.TimeDistributed(keras.layers.Conv2D(3, 3), name="frames")
    for model, name in (
        (keras.Model(inputs, Net()(inputs)), "subclassed"),
        (keras.Model(frames, wrapped(frames)), "frames"),
    ):
        with pytest.raises(ValueError, match=f"functional.*{name}") as caught:
            complexity(model)
        assert "\n" not in str(caught.value)


def test_convolutions_over_lines_and_volumes():
    line, volume = keras.Input((10, 4)), keras.Input((5, 6, 7, 2))
    assert complexity(keras.Model(line, keras.layers.Conv1D(3, 3)(line))).multiply_adds == 8 * 3 * 3 * 4
    assert complexity(keras.Model(volume, keras.layers.Conv3D(3, 2)(volume))).multiply_adds == 4 * 5 * 6 * 8 * 2 * 3


def rows_seen(model, layer: str) -> int:
    """How far apart the first and the last row of the input are that a place of a layer's map depends on, measured."""
    model = keras.Model(model.inputs, model.get_layer(layer).output)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, len(variable.shape) == 4))
    side = model.input_shape[1]
    images = np.zeros((side, side, side, 1), np.float32)
    images[np.arange(side), np.arange(side)] = 1.0  # image n has ones in row n alone
    depends = np.asarray(model(images))[:, :, model.output_shape[2] // 2, 0] > 0  # (row of the input, row of the map)
    rows = [np.flatnonzero(column) for column in depends.T]
    return max(seen[-1] - seen[0] + 1 for seen in rows if len(seen))


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (4, 2), (5, 2), (3, 1), (4, 4), (7, 3), (8, 4)])
def test_a_transposed_convolution_goes_back(kernel, stride):
    x = inputs = keras.Input((96, 96, 1))
    x = keras.layers.Conv2D(1, 3, strides=4, padding="same", name="down")(x)
    x = keras.layers.Conv2DTranspose(1, kernel, strides=stride, padding="same", name="up")(x)
    for name in ("after", "again"):
        x = keras.layers.Conv2D(1, 3, padding="same", name=name)(x)
    x = keras.layers.Conv2D(1, 2, strides=2, name="half")(x)
    model = keras.Model(inputs, x)
    found = reach(model)
    assert found["down"].stride == 4 and found["up"].stride == found["again"].stride == 4 / stride
    assert found["half"].stride == 8 / stride
    assert {name: found[name].receptive_field for name in found} == {name: rows_seen(model, name) for name in found}


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_an_enlarged_map(interpolation):
    x = inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(1, 3, strides=2, padding="same", name="down")(x)
    x = keras.layers.UpSampling2D(4, interpolation=interpolation, name="up")(x)
    x = keras.layers.Conv2D(1, 3, padding="same", name="after")(x)
    model = keras.Model(inputs, x)
    found = reach(model)
    assert found["up"].stride == 0.5
    assert {name: found[name].receptive_field for name in found} == {name: rows_seen(model, name) for name in found}
