"""The Keras model in the form that is exported: float32, one output of probabilities, folded, pixels in."""

import keras
import numpy as np

from kerasnets.data.preprocess import normalise
from kerasnets.graph.fold import fold_batch_norm
from kerasnets.graph.walk import producer
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.registry import Preprocessing


def inference_form(model: keras.Model) -> keras.Model:
    """Returns the form of a classifier that every exported file is written from, whatever the machine.

    Batch normalisation is folded where it can be, and each grouped convolution is one operator. The weights are copies.

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

    Auxiliary heads are left out, logits get a softmax, and a network of mixed precision computes in float32
    throughout. The weights are those of `model`, shared where nothing had to be rebuilt.
    """
    if any(layer.compute_dtype != "float32" for layer in model.layers):
        model = _in_float32(model)
    output = model.output["predictions"] if isinstance(model.output, dict) else model.output
    if len(output.shape) != 2:
        raise ValueError(
            f"Only a classifier can be exported, with an output (batch, classes). Received: {output.shape}"
        )
    last = producer(output)
    if getattr(last, "activation", None) is keras.activations.linear:
        output = keras.layers.Softmax(name="probabilities", dtype="float32")(output)
    elif output is model.output:
        return model
    return keras.Model(model.inputs, output, name=model.name)


def pixel_network(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Returns a network for one image of pixels 0-255 (1, size, size, channels) that normalises them itself.

    `normalise` is affine in the channels of a pixel, so one 1x1 convolution is equal to it; its numbers are read off
    `normalise` itself. As a convolution it is quantised once, with the kernel per channel, and not step by step.
    """
    size, channels = preprocessing.size, len(preprocessing.mean)
    inputs = keras.Input((size, size, channels), batch_size=1, name="image")
    unit = np.concatenate([np.zeros((1, channels)), np.eye(channels)]).astype("float32")
    offset, *columns = np.asarray(normalise(unit[:, np.newaxis, np.newaxis], preprocessing))[:, 0, 0]
    kernel = np.stack([column - offset for column in columns])[np.newaxis, np.newaxis]
    convolution = keras.layers.Conv2D(channels, 1, name="normalization", dtype="float32")
    x = convolution(inputs)
    convolution.set_weights([kernel, offset])
    return keras.Model(inputs, model(x, training=False), name=model.name)


def probabilities(
    model: keras.Model, images: np.ndarray, preprocessing: Preprocessing, batch_size: int = 32
) -> np.ndarray:
    """What Keras gives for pixels 0-255 (examples, size, size, channels), in batches."""
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    return np.concatenate([np.asarray(model(normalise(batch, preprocessing), training=False)) for batch in batches])


def _in_float32(model: keras.Model) -> keras.Model:
    def plain(config):
        if isinstance(config, dict):
            return {key: "float32" if key == "dtype" else plain(value) for key, value in config.items()}
        return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config

    twin = model.__class__.from_config(plain(model.get_config()))
    twin.set_weights(model.get_weights())
    return twin
