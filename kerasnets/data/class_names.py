"""Labels by the names of classes: images of some of a model's classes, or of all of them in another order."""

import dataclasses

import numpy as np
import tensorflow as tf

from kerasnets.data.labels import imagenet_classes
from kerasnets.data.sources.source import Source
from kerasnets.registry import did_you_mean


def imagenet_ids(count: int) -> tuple[str, ...]:
    """Returns the WordNet ids of ImageNet's classes for a model with `count` = 1000 outputs, else nothing."""
    classes = imagenet_classes()
    return tuple(identifier for identifier, _ in classes) if count == len(classes) else ()


def match_classes(source: Source, classes: tuple[str, ...]) -> Source:
    """Returns `source` with the labels of a model whose outputs are `classes`, when the two share names.

    The model keeps all its outputs: an image counts as correct only if the best of all classes is its own. A source
    without a name in common keeps its numbers, and so do datasets of the user's own.

    Args:
        source: labelled images.
        classes: the names of the model's outputs, such as WordNet ids; empty when they are unknown.

    Raises:
        ValueError: the model has some of the classes but not all of them.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = [name for name in source.classes if name not in numbers]
    nothing_shared = len(unknown) == len(source.classes) or len(numbers) < len(classes)
    if source.batches is not None or nothing_shared or source.classes == classes:
        return source
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(
            f"The model has {len(source.classes) - len(unknown)} of the {len(source.classes)} classes of "
            f"{source.name!r}; remove or rename the others.{did_you_mean(unknown[0], numbers)} "
            f"Received: class {unknown[0]!r}{more}"
        )
    return _renumbered(source, classes, np.array([numbers[name] for name in source.classes], np.int32))


def _renumbered(source: Source, classes: tuple[str, ...], numbers: np.ndarray) -> Source:
    def renumber(*example):
        return (*example[:-1], tf.gather(numbers, example[-1]))

    return dataclasses.replace(
        source,
        classes=classes,
        memory=[],
        labels=source.labels and (lambda: numbers[source.labels()]),
        fetch=source.fetch and (lambda index: renumber(*source.fetch(index))),
        stream=source.stream and (lambda seed=None: source.stream(seed).map(renumber)),
        records=None,
    )
