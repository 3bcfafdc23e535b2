"""Walking a Keras graph: which layer made a tensor, and what it was made from."""

import keras


def classifiers(model: keras.Model) -> set[str]:
    """The layers whose last axis is the classes: the last ones with weights before every output."""
    if not any(layer.name == "predictions" for layer in model.layers):
        return set()
    return {layer.name for output in model.outputs if (layer := _last_with_weights(output)) is not None}


def _last_with_weights(tensor):
    layer = tensor._keras_history.operation
    while not getattr(layer, "weights", ()):
        inputs = layer._inbound_nodes[0].input_tensors
        if len(inputs) != 1:
            return None
        layer = inputs[0]._keras_history.operation
    return layer


def flattened_from(layer) -> tuple | None:
    """The (height, width, channels) that a dense layer's input was flattened from, looking back past dropout."""
    operation = layer._inbound_nodes[0].operation
    while True:
        history = operation._inbound_nodes[0].input_tensors[0]._keras_history
        operation = history.operation
        if isinstance(operation, keras.layers.Flatten):
            shape = operation._inbound_nodes[0].input_tensors[0].shape
            return tuple(shape[1:]) if len(shape) == 4 else None
        if not isinstance(operation, (keras.layers.Dropout, keras.layers.Activation)):
            return None
