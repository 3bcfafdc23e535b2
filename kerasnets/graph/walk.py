"""Walk the graph of a Keras model: its calls in order, and what makes or reads a tensor.

All private attributes of Keras that the package uses stand here. Each was checked with Keras 3.15.1, and
`tests/graph/test_walk.py` fails when one changes.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras


class Call(NamedTuple):
    """One call of one layer: the tensors that it reads and those that it makes."""

    layer: keras.Layer
    inputs: list
    outputs: list


def calls(model: keras.Model) -> Iterator[Call]:
    """Yields every call in the graph of a functional model, from the inputs to the outputs; input layers are left out.

    Raises:
        ValueError: for a model that is not a functional one.
    """
    by_depth = functional(model)._nodes_by_depth  # Keras 3.15.1: Function.__init__
    for node in (node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]):
        if not isinstance(node.operation, keras.layers.InputLayer):
            yield Call(node.operation, node.input_tensors, node.outputs)


def functional(model: keras.Model) -> keras.Model:
    """Returns the functional model that holds the graph of `model`: itself, or the one inside a `Sequential`.

    Raises:
        ValueError: for any other model.
    """
    graph = getattr(model, "_functional", None) or model  # Keras 3.15.1: Sequential.build
    if not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(f"Only functional models have a graph of layers. Received: {described(model)}")
    return graph


def described(layer) -> str:
    """Returns a layer's class and name, for an error."""
    return f"the {type(layer).__name__} {layer.name!r}"


def trace(model: keras.Model, inputs, around: Callable):
    """Traces a functional model with other input tensors, layer by layer, and returns its outputs.

    Args:
        inputs: tensors, one for each input of `model`; their sizes may differ from the model's own.
        around: `layer -> function`; the function is called in the place of the layer and returns its outputs.
    """
    return functional(model)._run_through_graph(inputs, operation_fn=around)  # Keras 3.15.1: Function


def run(model: keras.Model, inputs, around: Callable):
    """Runs a functional model as `trace` does, and the functional models that are nested in it layer by layer too."""

    def opened(layer):
        if not is_functional(layer):
            return around(layer)
        return lambda tensors, **options: run(layer, tensors, around)

    return trace(model, inputs, opened)


def is_functional(layer) -> bool:
    """Tells whether a layer is a model whose graph can be walked."""
    return hasattr(getattr(layer, "_functional", None) or layer, "_nodes_by_depth")


def opened_calls(model: keras.Model, output=None) -> list[Call]:
    """Returns the calls that an output of a functional model is computed from, in order; nested models are opened.

    Args:
        output: one of the model's outputs; `None` for all of them.
    """
    wanted = {id(tensor) for tensor in (functional(model).outputs if output is None else [output])}
    found = []
    for call in reversed(list(calls(functional(model)))):
        if any(id(tensor) in wanted for tensor in call.outputs):
            wanted |= {id(tensor) for tensor in call.inputs}
            found = [*(opened_calls(call.layer) if is_functional(call.layer) else [call]), *found]
    return found


@contextlib.contextmanager
def deep_recursion(limit: int = 50_000):
    """Raises Python's recursion limit. Keras walks graphs recursively; ResNet-1202 needs more than the usual."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, limit))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def producer(tensor) -> keras.Layer:
    """Returns the layer that made a symbolic tensor."""
    return tensor._keras_history.operation  # Keras 3.15.1: KerasHistory, set by Node.__init__


def inputs_of(layer) -> list:
    """Returns the tensors that a layer read in its first call; for a nested model `layer.input` is something else."""
    return layer._inbound_nodes[0].input_tensors  # Keras 3.15.1: Operation


def consumers(layer) -> list:
    """Returns the layers that read the outputs of `layer`, one entry for each call."""
    return [node.operation for node in layer._outbound_nodes]  # Keras 3.15.1: Operation


def nested_layers(layer) -> list:
    """Returns all layers that a layer holds, at any depth."""
    return list(layer._flatten_layers(include_self=False))  # Keras 3.15.1: Layer


def own_variables(layer) -> list:
    """Returns a layer's own variables in the order in which Keras numbers them in a `.weights.h5` file."""
    return layer._trainable_variables + layer._non_trainable_variables  # Keras 3.15.1: Layer.save_own_variables


def classifiers(model: keras.Model) -> set[str]:
    """Returns the names of the layers whose outputs are the classes: the last with weights before each output.

    A network without its top has none.
    """
    if not any(layer.name == "predictions" for layer in model.layers):
        return set()
    return {layer.name for output in model.outputs if (layer := _last_with_weights(output)) is not None}


def _last_with_weights(tensor) -> keras.Layer | None:
    layer = producer(tensor)
    # Ranges of quantisation, and other states of the training, are no weights of the network.
    while not getattr(layer, "weights", ()) or getattr(layer, "training_state", False):
        inputs = inputs_of(layer)
        if len(inputs) != 1:
            return None
        layer = producer(inputs[0])
    return layer


def flattened_from(layer) -> tuple[int, int, int] | None:
    """Returns the (height, width, channels) of the map that a dense layer's input was flattened from.

    Dropout and activations may stand between the two. `None` when nothing was flattened.
    """
    while True:
        layer = producer(inputs_of(layer)[0])
        if isinstance(layer, keras.layers.Flatten):
            shape = inputs_of(layer)[0].shape
            return tuple(shape[1:]) if len(shape) == 4 else None
        if not isinstance(layer, (keras.layers.Dropout, keras.layers.Activation)):
            return None
