"""What the package reads of Keras's private attributes, on a graph small enough to write out."""

import keras
import pytest

from kerasnets.graph import walk


def small():
    """An image that two convolutions read; their sum goes through a nested Sequential, dropout and a classifier."""
    image = keras.Input((6, 6, 2), name="image")
    left, right = (keras.layers.Conv2D(3, 3, name=name)(image) for name in ("left", "right"))
    x = keras.layers.Add(name="add")([left, keras.layers.BatchNormalization(name="norm")(right)])
    nested = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(5, 3, name="inner")], name="nested")
    x = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Flatten(name="flatten")(nested(x)))
    x = keras.layers.Dense(7, name="predictions")(x)
    return keras.Model(image, keras.layers.Softmax(name="softmax")(x), name="small")


def names(layers):
    return [layer.name for layer in layers]


def test_calls_come_in_the_order_of_the_graph_with_their_tensors():
    model = small()
    found = list(walk.calls(model))
    last = ["add", "nested", "flatten", "dropout", "predictions", "softmax"]
    assert sorted(names(call.layer for call in found[:3])) == ["left", "norm", "right"]
    assert names(call.layer for call in found[3:]) == last and found[-1].outputs[0] is model.output
    add = found[3]
    assert names(map(walk.producer, add.inputs)) == ["left", "norm"] and walk.producer(add.outputs[0]) is add.layer
    made = {id(tensor) for tensor in model.inputs}
    for _, inputs, outputs in found:
        assert {id(tensor) for tensor in inputs} <= made
        made |= {id(tensor) for tensor in outputs}


def test_a_sequential_has_the_calls_of_the_model_inside_and_a_subclassed_model_none():
    nested = small().get_layer("nested")
    assert names(call.layer for call in walk.calls(nested)) == ["inner"]

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="Received: the Subclassed 'own'"):
        list(walk.calls(Subclassed(name="own")))


def test_inputs_and_consumers_of_a_layer():
    model = small()
    assert names(walk.consumers(model.get_layer("right"))) == ["norm"]
    assert names(walk.consumers(model.get_layer("image"))) == ["left", "right"]
    assert walk.consumers(model.get_layer("softmax")) == []
    assert names(map(walk.producer, walk.inputs_of(model.get_layer("add")))) == ["left", "norm"]
    assert names(map(walk.producer, walk.inputs_of(model.get_layer("nested")))) == ["add"]


def test_nested_layers_are_those_inside_at_any_depth():
    assert "inner" in names(walk.nested_layers(small()))
    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(2, name="wrapped"))
    assert names(walk.nested_layers(wrapped)) == ["wrapped"]
    assert walk.nested_layers(keras.layers.ReLU()) == []


def test_tracing_calls_every_layer_with_the_sizes_of_the_new_inputs():
    nested, seen = small().get_layer("nested"), {}

    def around(layer):
        def call(*inputs, **options):
            seen[layer.name] = tuple(inputs[0].shape)
            return layer.compute_output_spec(*inputs, **options)

        return call

    walk.trace(nested, [keras.Input((9, 9, 3))], around)
    assert seen["inner"] == (None, 9, 9, 3)


def test_the_classifier_and_the_map_that_it_was_flattened_from():
    model = small()
    assert walk.classifiers(model) == {"predictions"}
    assert walk.classifiers(model.get_layer("nested")) == set()
    assert walk.flattened_from(model.get_layer("predictions")) == (2, 2, 5)
    vector = keras.Input((4,))
    dense = keras.layers.Dense(2)
    dense(keras.layers.Dense(3)(vector))
    assert walk.flattened_from(dense) is None


def test_own_variables_are_in_the_order_of_a_weights_file():
    layer, saved = keras.layers.BatchNormalization(), {}
    layer.build((None, 3))
    layer.save_own_variables(saved)
    names = [variable.name for variable in walk.own_variables(layer)]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"] and list(saved) == ["0", "1", "2", "3"]


def test_a_run_opens_nested_models_and_calls_are_those_of_one_output():
    model, seen = small(), []

    def around(layer):
        seen.append(layer.name)
        return lambda *inputs, **options: layer.compute_output_spec(*inputs, **options)

    output = walk.run(model, [keras.Input((6, 6, 2))], around)
    assert tuple(output.shape) == (None, 7) and "inner" in seen and "nested" not in seen
    assert names(call.layer for call in walk.opened_calls(model))[-4:] == [
        "flatten",
        "dropout",
        "predictions",
        "softmax",
    ]
    one = keras.Model(model.input, [model.get_layer("add").output, model.output])
    found = names(call.layer for call in walk.opened_calls(one, one.outputs[0]))
    assert sorted(found) == ["add", "left", "norm", "right"]
    assert walk.is_functional(model.get_layer("nested")) and not walk.is_functional(model.get_layer("add"))
