"""Names of classes, in the order of the outputs of a network."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

DIGITS = tuple(str(digit) for digit in range(10))


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Returns the labels of a text file with one label a line.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return tuple(Path(path).read_text(encoding="utf-8").splitlines())


def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """Returns the 1,000 classes of ILSVRC 2012 as (WordNet id, name), such as `("n07920052", "espresso")`.

    They are sorted by id, as in public checkpoints; the names are those of keras.applications.
    """
    lines = read_labels(Path(__file__).with_name("imagenet_classes.txt"))
    return tuple(tuple(line.split(" ", 1)) for line in lines)


def decode_predictions(predictions, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the most probable ImageNet classes, as keras.applications does, without a download.

    Args:
        predictions: probabilities (or logits) of shape (samples, 1000), array or tensor.
        top: the number of classes to name.

    Returns:
        For each sample `[(WordNet id, name, probability), ...]`, the most probable class first.

    Raises:
        ValueError: `predictions` have another shape, or `top` is not positive.
    """
    predictions, classes = np.asarray(predictions), imagenet_classes()
    if predictions.ndim != 2 or predictions.shape[1] != len(classes):
        raise ValueError(
            "`decode_predictions` expects a batch of predictions (i.e. a 2D array of shape (samples, 1000)). "
            f"Received array with shape: {predictions.shape}"
        )
    if top < 1:
        raise ValueError(f"`top` should be a positive integer. Received: top={top!r}")
    likeliest = np.argsort(-predictions, axis=1, kind="stable")[:, :top]
    return [[(*classes[i], float(row[i])) for i in best] for row, best in zip(predictions, likeliest, strict=True)]


def default_labels(count: int) -> tuple[str, ...]:
    """Returns the names of the ImageNet classes when `count` is 1000, else the numbers from 0."""
    if count == len(classes := imagenet_classes()):
        return tuple(name.replace("_", " ") for _, name in classes)
    return tuple(str(index) for index in range(count))


def readable(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of labels when all of them are WordNet ids of ImageNet classes, and other labels unchanged."""
    names = dict(imagenet_classes())
    known = bool(labels) and all(label in names for label in labels)
    return tuple(names[label].replace("_", " ") if known else label for label in labels)
