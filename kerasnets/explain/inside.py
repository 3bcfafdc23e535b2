"""Experiments inside dense, fractal and squeeze-and-excitation networks, and on the loss, as papers describe them.

Images are always (batch, height, width, channels), prepared as the model takes them; labels are numbers of classes.
Errors are shares of 1. `model` never keeps a change.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import batches, checked, logits_of
from kerasnets.explain.residual import error_with
from kerasnets.explain.saliency import connected
from kerasnets.graph.walk import calls, described, opened_calls, producer
from kerasnets.layers.fractal_join import FractalJoin


def response_deviations(model: keras.Model, images) -> dict[str, float]:
    """Returns name of a batch normalisation -> standard deviation of its outputs, before activation and addition.

    Source: He et al. 2015, figure 7, https://arxiv.org/abs/1512.03385
    """
    return {
        name: float(np.std(output))
        for name, output in _kept(
            model, images, lambda layer: isinstance(layer, keras.layers.BatchNormalization)
        ).items()
    }


def excitations(model: keras.Model, images, labels=None) -> dict[str, np.ndarray]:
    """Returns name of a squeeze-and-excitation gate, in the order of the network -> its values (batch, channels), 0..1.

    Args:
        labels: the class of each image, to get the means of the classes (classes, channels) in their order instead.

    Raises:
        ValueError: for a network without such gates, or labels that do not fit the images.

    Source: Hu et al. 2017, figure 6, https://arxiv.org/abs/1709.01507
    """
    gates = {producer(tensor).name for call in opened_calls(model) if _scales(call) for tensor in call.inputs[1:]}
    if not gates:
        raise ValueError(f"A network with squeeze-and-excitation is needed. Received: {described(model)}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"There should be a label for each of {len(images)} images. Received: {len(labels)} labels")
    parts = [_kept(model, images[part], lambda layer: layer.name in gates) for part in batches(len(images), 32)]
    found = {name: np.concatenate([part[name].reshape(len(part[name]), -1) for part in parts]) for name in parts[0]}
    if labels is None:
        return found
    members = [np.asarray(labels) == number for number in np.unique(labels)]
    return {name: np.stack([values[own].mean(axis=0) for own in members]) for name, values in found.items()}


def _scales(call) -> bool:
    """Tells whether a call multiplies maps by one number for each channel."""
    shapes = [tuple(tensor.shape) for tensor in call.inputs]
    return isinstance(call.layer, keras.layers.Multiply) and len(shapes) == 2 and shapes[1][1:-1] in ((), (1, 1))


def _kept(model, images, wanted: Callable) -> dict[str, np.ndarray]:
    found = {}

    def seen(layer, output, *_):
        if wanted(layer):
            found[layer.name] = np.asarray(output, "float32")
        return output

    logits_of(model, tf.constant(checked(model, images)[0]), seen)
    return found


def feature_reuse(model: keras.Model) -> dict[str, dict[str, float]]:
    """Returns how much each layer of a dense block uses each earlier one.

    Returns:
        Name of a convolution that reads several layers -> (name of the layer that made the maps -> mean absolute weight
        that it has for them). Normalisation and ReLU between the two are passed over.

    Source: Huang et al. 2016, figure 5, https://arxiv.org/abs/1608.06993
    """
    made, found = {}, {}
    for layer, inputs, outputs in calls(model):
        sources = [made.get(id(tensor)) for tensor in inputs]
        kernel = getattr(layer, "kernel", None)
        if kernel is not None or not all(sources):
            if kernel is not None and sources[0] and len(sources[0]) > 1 and len(kernel.shape) == 4:
                weights = np.abs(np.asarray(kernel)).mean(axis=(0, 1, 3))
                ends = np.cumsum([channels for _, channels in sources[0]])
                parts = np.split(weights, ends[:-1])
                found[layer.name] = {
                    name: float(part.mean()) for (name, _), part in zip(sources[0], parts, strict=True)
                }
            made[id(outputs[0])] = [(layer.name, outputs[0].shape[-1])]
        elif isinstance(layer, keras.layers.Concatenate):
            made[id(outputs[0])] = [source for own in sources for source in own]
        else:
            made[id(outputs[0])] = sources[0]
    return found


def column_errors(model: keras.Model, images, labels, *, batch_size: int = 64) -> dict[int, float]:
    """Returns number of a FractalNet's column, 1 the shallowest -> the error of that column alone.

    Raises:
        ValueError: for another network.

    Source: Larsson et al. 2016, https://arxiv.org/abs/1605.07648
    """
    joins = [len(_columns(call.layer, call.inputs)) for call in opened_calls(model)]
    if not any(joins):
        raise ValueError(f"A FractalNet is needed. Received: {described(model)}")

    def only(column: int):
        def seen(layer, output, *inputs):
            ends = _columns(layer, keras.tree.flatten(inputs))
            here = column - (max(joins) - len(ends))
            return ends[here] if ends and here >= 0 else output

        return seen

    return {column + 1: error_with(model, images, labels, only(column), batch_size) for column in range(max(joins))}


def _columns(layer, inputs) -> list:
    """Returns the columns that a join reads, the shallow ones first; none for another layer."""
    if isinstance(layer, FractalJoin):
        return inputs[1:]
    return inputs if isinstance(layer, keras.layers.Average) else []


def effective_receptive_field(
    model: keras.Model, layer: str, images, *, share: float = 1 - 0.9545
) -> tuple[np.ndarray, float]:
    """Measures which pixels the centre of a layer's maps really depends on.

    Args:
        images: several; the result is the mean over them. Noise serves as well.
        share: a pixel counts from this share of the largest value on (two standard deviations of a Gaussian).

    Returns:
        The mean absolute gradient of the centre by the pixels (height, width), its largest value 1; and the square root
        of the number of pixels that count, to compare with the theoretical field of `kerasnets.graph.cost.reach`.

    Raises:
        ValueError: for a layer without maps, or one that does not depend on the image.

    Source: Luo et al. 2016, https://arxiv.org/abs/1701.04128
    """
    x, kept = tf.constant(checked(model, images, layer=layer)[0]), []

    def seen(called, output, *_):
        kept.extend([output] if called.name == layer else ())
        return output

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        logits_of(model, x, seen)
        if len(kept) != 1 or len(kept[0].shape) != 4:
            raise ValueError(f"The layer should have an output (batch, height, width, maps). Received: layer={layer!r}")
        centre = tf.reduce_sum(kept[0][:, kept[0].shape[1] // 2, kept[0].shape[2] // 2])
    slopes = np.abs(connected(tape.gradient(centre, x), layer).numpy()).sum(axis=(0, 3))
    field = slopes / max(slopes.max(), 1e-30)
    return field, float(np.sqrt(np.count_nonzero(field >= share)))


def loss_landscape(
    model: keras.Model, loss: Callable[[], float], *, span: float = 1.0, points: int = 11, seed: int = 0
) -> np.ndarray:
    """Returns the loss on a plane through the weights, along two random directions.

    Each filter of a direction has the norm of the network's own filter; filters lie along the last axis. Directions are
    zero for biases and normalisation. The moving statistics stay.

    Args:
        loss: computes the loss of the model as it then is.
        span, points: the plane reaches from -span to span in so many steps, an odd number to hold the network itself.

    Returns:
        float64 (points, points).

    Source: Li et al. 2018, https://arxiv.org/abs/1712.09913
    """
    generator, own = np.random.default_rng(seed), [variable.numpy() for variable in model.trainable_variables]
    directions = [[filter_normalised(value, generator) for value in own] for _ in range(2)]
    steps, found = np.linspace(-span, span, points), np.zeros((points, points))
    try:
        for row, down in enumerate(steps):
            for column, across in enumerate(steps):
                for variable, value, one, other in zip(model.trainable_variables, own, *directions, strict=True):
                    variable.assign(value + down * one + across * other)
                found[row, column] = loss()
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)
    return found


def filter_normalised(value: np.ndarray, generator) -> np.ndarray:
    """Returns a random direction for a weight, in which each filter has the norm of the weight's own.

    Filters lie along the last axis. The direction is zero for biases and normalisation.
    """
    if value.ndim < 2:
        return np.zeros_like(value)
    direction, axes = generator.standard_normal(value.shape), tuple(range(value.ndim - 1))
    norms = [np.sqrt((part**2).sum(axis=axes)) for part in (value, direction)]
    return (direction * norms[0] / np.maximum(norms[1], 1e-12)).astype(value.dtype)
