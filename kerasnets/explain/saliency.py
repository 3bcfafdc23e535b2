"""Which pixels does a logit depend on: the gradient, and averages of it.

Every function takes `(model, images, target=None, layer=None, ...)` and returns float32 (batch, height, width,
channels).
"""

from collections.abc import Callable

import keras
import numpy as np

from kerasnets.explain.network import all_logits, batches, checked, chosen, clear_about_memory, logits_of
from kerasnets.layers.backend import tf


def gradient(model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16) -> np.ndarray:
    """Returns the gradient of a logit by the pixels.

    Args:
        model: any functional classifier; other functional models may be nested in it.
        images: (batch, height, width, channels), prepared as the model takes them.
        target: the class, or one for each image. `None` takes the class with the largest logit.
        layer: begin at a layer inside instead of the logits: at the largest value of its map number `target`, or of
            the map with the largest value.
        batch_size: images at a time.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: for arguments that do not fit the model.
        MemoryError: for a batch that does not fit into memory.

    Source: Simonyan et al. 2013, section 3, https://arxiv.org/abs/1312.6034
    """
    images, target = checked(model, images, target, layer)
    return _gradients(model, images, target, layer, batch_size)


def input_x_gradient(
    model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16
) -> np.ndarray:
    """Returns the gradient multiplied by the pixels, as they were given. Arguments and errors as `gradient`.

    Source: Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713
    """
    images, target = checked(model, images, target, layer)
    return images * _gradients(model, images, target, layer, batch_size)


def smooth_grad(
    model: keras.Model,
    images,
    target=None,
    layer: str | None = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    batch_size: int = 16,
) -> np.ndarray:
    """Returns the mean of the gradients of noisy copies of each image.

    Args:
        samples: number of copies.
        noise: standard deviation of the normal noise, as a share of the range of the image's values. With 0 the result
            is the gradient.
        seed: of the noise.

    Other arguments and errors as `gradient`.

    Source: Smilkov et al. 2017, section 3, https://arxiv.org/abs/1706.03825
    """
    if samples < 1 or noise < 0:
        raise ValueError(f"`samples` is at least 1, `noise` at least 0. Received: samples={samples}, noise={noise}")
    images, target = checked(model, images, target, layer)
    target = _fixed(model, images, target, layer, batch_size)
    maps = []
    for number, image in enumerate(images):
        # Each image has noise of its own number and not of its place in a batch.
        draws = np.random.default_rng(seed).standard_normal((samples, *image.shape)).astype("float32")
        copies = image + noise * (image.max() - image.min()) * draws
        own = None if target is None else [target[number]] * samples
        maps.append(_gradients(model, copies, own, layer, batch_size).mean(axis=0))
    return np.stack(maps)


def integrated_gradients(
    model: keras.Model,
    images,
    target=None,
    layer: str | None = None,
    *,
    steps: int = 64,
    baseline=0.0,
    return_gap: bool = False,
    batch_size: int = 16,
):
    """Returns the mean gradient on the straight line from a baseline to the image, times their difference.

    The line is cut into `steps` equal pieces, and the gradient is taken in the middle of each (midpoint rule). A map's
    sum should be the logit minus the baseline's logit.

    Args:
        steps: number of gradients for each image.
        baseline: a number, or an array that broadcasts to an image. In normalised pixels 0 is the mean colour.
        return_gap: return (maps, gap) with the completeness gap of each image, float32 (batch,):
            |sum of the map - (logit - baseline's logit)| / |logit - baseline's logit|.

    Other arguments and errors as `gradient`.

    Source: Sundararajan et al. 2017, section 3 and proposition 1, https://arxiv.org/abs/1703.01365
    """
    if steps < 1:
        raise ValueError(f"`steps` should be a positive integer. Received: steps={steps!r}")
    images, target = checked(model, images, target, layer)
    target = _fixed(model, images, target, layer, batch_size)
    start = np.broadcast_to(np.asarray(baseline, "float32"), images.shape[1:])
    middles = ((np.arange(steps, dtype="float32") + 0.5) / steps)[:, None, None, None]
    maps = []
    for number, image in enumerate(images):
        line = start + middles * (image - start)
        mean = _gradients(model, line, [target[number]] * steps, layer, batch_size).mean(axis=0)
        maps.append((image - start) * mean)
    maps = np.stack(maps)
    if not return_gap:
        return maps
    ends = _values(model, np.concatenate([images, start[None]]), layer, batch_size)
    change = ends[np.arange(len(images)), target] - ends[-1, target]
    return maps, np.abs(maps.sum(axis=(1, 2, 3)) - change) / np.maximum(np.abs(change), 1e-12)


def _gradients(model, images, target, layer, batch_size: int) -> np.ndarray:
    """Returns the gradients of images by themselves, a batch at a time."""
    maps = []
    with clear_about_memory(batch_size):
        for part in batches(len(images), batch_size):
            x = tf.constant(images[part])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                values = values_at(model, x, layer)
                score = chosen(values, target, part.start)[0]
            maps.append(connected(tape.gradient(score, x), layer).numpy())
    return np.concatenate(maps)


def _values(model, images, layer, batch_size: int) -> np.ndarray:
    if layer is None:
        return all_logits(model, images, batch_size)
    parts = batches(len(images), batch_size)
    return np.concatenate([values_at(model, tf.constant(images[part]), layer).numpy() for part in parts])


def _fixed(model, images, target, layer, batch_size: int) -> list[int]:
    """Returns the targets; those that nobody gave are chosen on the images as they are."""
    return target or [int(number) for number in _values(model, images, layer, batch_size).argmax(axis=1)]


def values_at(model, x, layer: str | None, around: Callable | None = None, keep: list | None = None):
    """Returns the logits (batch, classes), or the largest value of each map of a layer (batch, maps).

    Args:
        keep: a list to which the layer's output is appended.

    Raises:
        ValueError: for a layer that is called more than once, or whose output has another shape.
    """
    found = []

    def seen(passed, output, *_):
        if passed.name == layer:
            found.append(output)
        return output

    logits = logits_of(model, x, seen if layer else None, around)
    if layer is None:
        return logits
    if len(found) != 1 or isinstance(found[0], list | tuple | dict) or len(found[0].shape) not in (2, 4):
        raise ValueError(f"A layer should be called once and have one output of maps. Received: layer={layer!r}")
    if keep is not None:
        keep += found
    values = tf.cast(found[0], tf.float32)
    if len(values.shape) == 2:
        return values
    places = tf.reshape(values, (-1, values.shape[1] * values.shape[2], values.shape[3]))
    largest = tf.argmax(places, axis=1, output_type=tf.int32)  # the first of equal ones; reduce_max shares gradients
    return tf.gather(tf.transpose(places, (0, 2, 1)), largest, axis=2, batch_dims=2)


def connected(found, layer: str | None):
    """Returns a gradient.

    Raises:
        ValueError: when there is none.
    """
    if found is None:
        raise ValueError(f"The layer should lie between the images and the logits. Received: layer={layer!r}")
    return found
