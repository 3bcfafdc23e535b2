"""A stratified part of the training images, held back to choose the best epoch, so that the test set need not."""

import dataclasses

import numpy as np
import tensorflow as tf

from kerasnets.data.bad_images import BadImages
from kerasnets.data.sampling import labels_of
from kerasnets.data.sources import Source


def hold_back(source: Source, fraction: float, seed: int) -> tuple[Source, Source]:
    """Returns two parts of a source, the rest and the `fraction` held back, of each class the same; `seed` draws it.

    Raises:
        ValueError: the source is read as a stream, or too small.
    """
    if source.stream:
        raise ValueError(
            f"A fraction cannot be held back of {source.name}, which is read as a stream; name a split as "
            f"data.validation_split, such as 'train[95%:]' of a tensorflow-datasets set. Received: {fraction}"
        )
    labels, held = labels_of(source), np.zeros(source.size, bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        count = min(round(fraction * len(places)), len(places) - 1)
        held[np.random.default_rng([seed, int(label)]).permutation(places)[:count]] = True
    if not held.any():
        raise ValueError(f"{source.name}/{source.split} has too few images of each class. Received: {fraction}")
    return part(source, np.flatnonzero(~held)), part(source, np.flatnonzero(held))


def part(source: Source, places: np.ndarray) -> Source:
    """Returns the images of a source with an index that are at `places`, in this order."""
    indices = tf.constant(places, tf.int64)
    return dataclasses.replace(
        source,
        size=len(places),
        bad_images=BadImages(len(places)),
        image_name=lambda index: source.image_name(int(places[index])),
        fetch=lambda index: source.fetch(tf.gather(indices, index)),
        paths=tuple(source.paths[place] for place in places) if source.paths else (),
        memory=[],
    )
