"""What single feature maps look for: their strongest images, at the end and in training, and an image made for them."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import batches, checked, clear_about_memory, outputs_of
from kerasnets.explain.projection import deconvnet
from kerasnets.explain.saliency import connected, gradient, values_at
from kerasnets.graph.walk import opened_calls


class Strongest(NamedTuple):
    """The images that excite each map of a layer most.

    Attributes:
        values: (maps, count), the largest activation in the image, the strongest first.
        images: (maps, count), the number of the image; -1 where there are fewer images than `count`.
        places: (maps, count, 2), row and column of that activation in the map.
    """

    values: np.ndarray
    images: np.ndarray
    places: np.ndarray


def strongest_images(model: keras.Model, data: Iterable, layer: str, *, count: int = 9) -> Strongest:
    """Finds the images of a data set in which each map of a layer has its largest activations.

    Args:
        model: any functional classifier.
        data: batches of images (batch, height, width, channels) as the model takes them, or tuples that begin with
            one, such as a `tf.data.Dataset` gives. Memory is needed for one batch.
        layer: a layer with an output (batch, height, width, maps).
        count: images for each map. Each image counts once, with its largest activation.

    Raises:
        ValueError: for a layer that does not exist or has no maps.

    Source: Zeiler and Fergus 2013, figure 2, https://arxiv.org/abs/1311.2901
    """
    best, seen = None, 0
    for batch in data:
        images, _ = checked(model, batch[0] if isinstance(batch, tuple | list) else batch, layer=layer)
        maps = _maps(model, images, layer)
        flat = maps.reshape(len(maps), -1, maps.shape[-1])
        found = flat.argmax(axis=1).T  # (maps, batch)
        values = np.take_along_axis(flat, found.T[:, None], axis=1)[:, 0].T
        places = np.stack(np.unravel_index(found, maps.shape[1:3]), axis=-1)
        numbers = np.broadcast_to(np.arange(seen, seen + len(images)), values.shape)
        new = Strongest(values, numbers, places)
        best = (
            new if best is None else Strongest(*(np.concatenate(pair, axis=1) for pair in zip(best, new, strict=True)))
        )
        order = np.argsort(-best.values, axis=1, kind="stable")[:, :count]
        places = np.take_along_axis(best.places, order[..., None], axis=1)
        best = Strongest(*(np.take_along_axis(part, order, axis=1) for part in best[:2]), places)
        seen += len(images)
    if best is None:
        raise ValueError("There should be at least one batch of images. Received: none")
    missing = max(0, count - seen)
    return Strongest(
        np.pad(best.values, ((0, 0), (0, missing))),
        np.pad(best.images, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(best.places, ((0, 0), (0, missing), (0, 0))),
    )


class Evolved(NamedTuple):
    """What excites some maps of a layer most, in one state of the network.

    Attributes:
        strongest: images and places, (maps, 1); see `Strongest`.
        images: (maps, height, width, channels), those images.
        projections: (maps, height, width, channels), the deconvnet's projection of each activation.
    """

    strongest: Strongest
    images: np.ndarray
    projections: np.ndarray


def evolution(model: keras.Model, states: dict, data: Iterable, layer: str, maps: Sequence[int]) -> dict:
    """Finds what excites some maps of a layer most in each state of the network: figure 4 of the deconvnet's paper.

    Args:
        model: any functional classifier. Its own weights are there again at the end.
        states: name of a state -> (path of a weight -> its value), as `kerasnets.runs.checkpoints.weights_by_epoch`
            reads them from a run.
        data: batches of images as for `strongest_images`, which can be gone through repeatedly, such as a list.
        layer: a layer with an output (batch, height, width, maps).
        maps: numbers of its maps.

    Returns:
        Name of a state -> `Evolved`.

    Raises:
        ValueError: for a layer without maps, or weights of another network.

    Source: Zeiler and Fergus 2013, figure 4, https://arxiv.org/abs/1311.2901
    """
    own, found = model.get_weights(), {}
    try:
        for state, values in states.items():
            if missing := [weight.path for weight in model.weights if weight.path not in values]:
                raise ValueError(f"The weights should be those of {model.name!r}. Received: none for {missing[0]!r}")
            for weight in model.weights:
                weight.assign(values[weight.path])
            best = Strongest(*(part[list(maps)] for part in strongest_images(model, data, layer, count=1)))
            pictures = numbered_images(data, set(best.images.ravel().tolist()))
            images = np.stack([pictures[number] for number in best.images.ravel().tolist()])
            found[state] = Evolved(best, images, project(model, images, list(maps), layer)[0])
    finally:
        model.set_weights(own)
    return found


def numbered_images(data: Iterable, wanted: set[int]) -> dict[int, np.ndarray]:
    """Returns number -> image for the wanted images of some batches."""
    found, seen = {}, 0
    for batch in data:
        images = np.asarray(batch[0] if isinstance(batch, tuple | list) else batch, "float32")
        found |= {number: images[number - seen] for number in wanted if seen <= number < seen + len(images)}
        seen += len(images)
    return found


def project(model: keras.Model, images, maps, layer: str) -> tuple[np.ndarray, str]:
    """Returns the projections of the largest activation of a map in each image, and the method that made them.

    It is the deconvnet with switches where the network allows it, else the one by gradients, else the gradient.
    """
    for options in ({"switches": True}, {}):
        with contextlib.suppress(ValueError):
            return deconvnet(model, images, maps, layer, **options), "deconvnet" + " with switches" * bool(options)
    return gradient(model, images, maps, layer), "gradient"


def first_filters(model: keras.Model) -> np.ndarray:
    """Returns the filters of the first convolution, (filters, height, width, channels), each brought to 0..1.

    Raises:
        ValueError: for a model without a convolution.
    """
    for call in opened_calls(model):
        kernel = getattr(call.layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            filters = np.moveaxis(np.asarray(kernel, "float32"), -1, 0)
            low = filters.min(axis=(1, 2, 3), keepdims=True)
            return (filters - low) / np.maximum(filters.max(axis=(1, 2, 3), keepdims=True) - low, 1e-12)
    raise ValueError(f"A model with a convolution is needed. Received: {model.name!r}")


def feature_maps(model: keras.Model, images, layer: str, *, batch_size: int = 32) -> np.ndarray:
    """Returns a layer's output for images, float32 (batch, height, width, maps).

    Raises:
        ValueError: for a layer that does not exist or has no maps.
    """
    images, _ = checked(model, images, layer=layer)
    with clear_about_memory(batch_size):
        return np.concatenate([_maps(model, images[part], layer) for part in batches(len(images), batch_size)])


def activation_maximization(  # noqa: PLR0913 (the arguments of every method, and the usual regularisers)
    model: keras.Model,
    target: int,
    layer: str | None = None,
    *,
    size: tuple[int, int, int] | None = None,
    steps: int = 128,
    rate: float = 0.05,
    jitter: int = 8,
    decay: float = 1e-3,
    blur_every: int = 4,
    seed: int = 0,
) -> np.ndarray:
    """Makes an image for which a logit, or the mean of one map of a layer, is large, by gradient ascent from noise.

    The gradient is divided by its norm. Shifts (`jitter`), weight decay and a blur keep high frequencies down.

    Args:
        target: the class, or the number of a map of `layer`.
        layer: `None` for the logits.
        size: (height, width, channels), needed for a model that takes any size.
        steps, rate: of the ascent; the rate is in units of normalised pixels.
        jitter: the image is shifted by up to so many pixels in each step.
        decay: share of the image that is taken away in each step.
        blur_every: a 3x3 blur after so many steps.
        seed: of noise and shifts.

    Returns:
        float32 (height, width, channels), normalised as the model's input.

    Source: Erhan et al. 2009; Simonyan et al. 2013, section 2, https://arxiv.org/abs/1312.6034; blur: Yosinski et al.
        2015, https://arxiv.org/abs/1506.06579
    """
    shape = size or tuple(model.inputs[0].shape[1:])
    if None in shape:
        raise ValueError(f"`size` should be (height, width, channels) for a model of any size. Received: size={size!r}")
    generator = np.random.default_rng(seed)
    image = tf.Variable(0.1 * generator.standard_normal((1, *shape)).astype("float32"))
    checked(model, image.numpy(), target, layer)
    kernel = tf.constant(
        np.outer((1, 2, 1), (1, 2, 1))[..., None, None] / 16 * np.ones((1, 1, shape[-1], 1)), "float32"
    )

    @tf.function(autograph=False)
    def slope(x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            score = (
                values_at(model, x, None)[0, target] if layer is None else tf.reduce_mean(_one(model, x, layer, target))
            )
        found = connected(tape.gradient(score, x), layer)
        return found / (tf.norm(found) + 1e-12) * tf.sqrt(tf.cast(tf.size(found), tf.float32))

    for step in range(steps):
        shift = generator.integers(-jitter, jitter + 1, 2)
        moved = slope(tf.roll(image, shift, (1, 2)))
        image.assign((1 - decay) * image + rate * tf.roll(moved, -shift, (1, 2)))
        if blur_every and (step + 1) % blur_every == 0 and step + 1 < steps:
            image.assign(tf.nn.depthwise_conv2d(image, kernel, (1, 1, 1, 1), "SAME"))
    return image.numpy()[0]


def _maps(model, images, layer: str) -> np.ndarray:
    found = outputs_of(model, images, [layer])[0][layer]
    if found.ndim != 4:
        raise ValueError(f"The layer should have an output (batch, height, width, maps). Received: layer={layer!r}")
    return found


def _one(model, x, layer: str, number: int):
    """Returns one map of a layer's output, or one value of a flat one, as a tensor in the graph."""
    kept = []
    values_at(model, x, layer, keep=kept)
    return kept[0][..., number]
