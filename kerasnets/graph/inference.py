"""The form of a classifier that is exported: float32, one output of probabilities, batch normalisation folded."""

import keras

from kerasnets.graph.fold import fold_batch_norm
from kerasnets.graph.walk import producer
from kerasnets.layers.grouped_conv import GroupedConv2D


def inference_form(model: keras.Model) -> keras.Model:
    """Returns the form of a classifier that exported files are written from. It is the same on every machine.

    Batch normalisation is folded where possible, and each grouped convolution is one operator. The weights are copies.

    Args:
        model: what `classifier` gives.
    """
    folded = fold_batch_norm(model)
    for part in (part for layer in folded.layers for part in getattr(layer, "parts", (layer,))):
        if isinstance(part, GroupedConv2D):
            part.native = True
    return folded


def classifier(model: keras.Model) -> keras.Model:
    """Returns `model` in float32 with one output of probabilities (batch, classes).

    Auxiliary heads are left out, logits get a softmax, and a model of mixed precision becomes float32 throughout. The
    result shares the weights of `model` unless the precision changes.

    Raises:
        ValueError: for a model whose output is not (batch, classes).
    """
    if any(layer.compute_dtype != "float32" for layer in model.layers):
        model = _in_float32(model)
    output = model.output["predictions"] if isinstance(model.output, dict) else model.output
    if len(output.shape) != 2:
        raise ValueError(f"A classifier's output should have the shape (batch, classes). Received: {output.shape}")
    if getattr(producer(output), "activation", None) is keras.activations.linear:
        output = keras.layers.Softmax(name="probabilities", dtype="float32")(output)
    elif output is model.output:
        return model
    return keras.Model(model.inputs, output, name=model.name)


def _in_float32(model: keras.Model) -> keras.Model:
    def plain(config):
        if isinstance(config, dict):
            return {key: "float32" if key == "dtype" else plain(value) for key, value in config.items()}
        return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config

    twin = model.__class__.from_config(plain(model.get_config()))
    twin.set_weights(model.get_weights())
    return twin
