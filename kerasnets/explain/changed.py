"""How features and classes react when an image is shifted, enlarged or turned."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import checked, outputs_of


def invariance(model: keras.Model, images, change: Callable, amounts, layers: list[str]) -> dict[str, np.ndarray]:
    """Returns how far the features of changed images are from those of the images themselves, and the class's chance.

    Args:
        images: (batch, height, width, channels), as the model takes them.
        change: `(images, amount) -> images`, for example `kerasnets.explain.shifted`, `scaled` or `turned`.
        amounts: the amounts to try.
        layers: names of layers.

    Returns:
        Name of a layer -> (amounts, batch), the Euclidean distance; `"probability"` -> (amounts, batch), that of the
        class with the largest logit for the unchanged image.

    Source: Zeiler and Fergus 2013, figure 5, https://arxiv.org/abs/1311.2901
    """
    images, _ = checked(model, images)
    before, logits = outputs_of(model, images, layers)
    target, found = logits.argmax(axis=1), {name: [] for name in [*layers, "probability"]}
    for amount in amounts:
        after, logits = outputs_of(model, np.asarray(change(images, amount), "float32"), layers)
        for name in layers:
            found[name].append(np.linalg.norm((after[name] - before[name]).reshape(len(images), -1), axis=1))
        chance = tf.nn.softmax(logits).numpy()
        found["probability"].append(chance[np.arange(len(images)), target])
    return {name: np.array(rows) for name, rows in found.items()}


def shifted(images, pixels: float) -> np.ndarray:
    """Returns the images moved down by so many pixels. What comes in is the nearest edge."""
    from scipy import ndimage

    return ndimage.shift(images, (0, pixels, 0, 0), order=1, mode="nearest")


def scaled(images, factor: float) -> np.ndarray:
    """Returns the images enlarged by a factor around their centre."""
    return _transformed(images, np.eye(2) / factor)


def turned(images, degrees: float) -> np.ndarray:
    """Returns the images turned around their centre, counter-clockwise."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return _transformed(images, np.array([[cosine, sine], [-sine, cosine]]))


def _transformed(images, matrix) -> np.ndarray:
    from scipy import ndimage

    centre = (np.array(images.shape[1:3]) - 1) / 2
    whole = np.eye(4)
    whole[1:3, 1:3] = matrix
    offset = np.array([0, *(centre - matrix @ centre), 0])
    return ndimage.affine_transform(images, whole, offset, order=1, mode="nearest")
