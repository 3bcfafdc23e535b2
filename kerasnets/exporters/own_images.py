"""Images that a caller hands over to an export: arrays and `tf.data` datasets of pixels 0-255."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasnets.data.images.per_image import evaluation_transform
from kerasnets.registry import Preprocessing


class OwnImages(NamedTuple):
    """Images of a caller.

    Attributes:
        pixels: uint8 (examples, size, size, channels).
        labels: class indices (examples,), or `None`.
    """

    pixels: np.ndarray
    labels: np.ndarray | None


def is_own(calibrate) -> bool:
    """Whether `calibrate` holds images itself, and does not name them."""
    return isinstance(calibrate, np.ndarray | tf.Tensor | tf.data.Dataset | tuple | list)


def own_images(given, preprocessing: Preprocessing, count: int) -> OwnImages:
    """Reads images of a caller.

    Args:
        given: images (examples, height, width[, channels]), `(images, labels)`, or a `tf.data.Dataset` of either, with
            or without batches. Images are RGB or grey pixels 0-255 before any normalisation. Labels are class indices,
            or one number for each class.
        preprocessing: images of its size are taken as they are. Others are resized and cut as in evaluation.
        count: the largest number of images. An array gives evenly spaced ones, a dataset its first ones.

    Raises:
        ValueError: for fewer than two images, images of another shape, or values that are no pixels.
    """
    if isinstance(given, tf.data.Dataset):
        images, labels = _of_dataset(given, count)
    else:
        pair = isinstance(given, tuple | list) and len(given) == 2
        images, labels = (np.asarray(given[0]), np.asarray(given[1])) if pair else (np.asarray(given), None)
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"Each image needs a label. Received: {len(images)} images, {len(labels)} labels")
    if len(images) < 2:
        raise ValueError(
            "`calibrate` needs at least two images, one for the calibration and one for the comparison. "
            f"Received: {len(images)}"
        )
    chosen = np.linspace(0, len(images), min(count, len(images)), endpoint=False).astype(int)
    if labels is not None:
        labels = (labels.argmax(-1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1))[chosen]
    return OwnImages(_prepared([images[i] for i in chosen], preprocessing), labels)


def _of_dataset(dataset: tf.data.Dataset, count: int) -> tuple[list, np.ndarray | None]:
    spec = dataset.element_spec
    labelled = isinstance(spec, tuple | list)
    if labelled and len(spec) < 2 or not isinstance(spec[0] if labelled else spec, tf.TensorSpec):
        raise ValueError(f"A dataset should give images, or images and labels. Received: elements {spec}")
    if (spec[0] if labelled else spec).shape.rank == 4:
        dataset = dataset.unbatch()
    elements = list(dataset.take(count).as_numpy_iterator())
    if not labelled:
        return elements, None
    return [element[0] for element in elements], np.array([element[1] for element in elements])


def _prepared(images: list[np.ndarray], preprocessing: Preprocessing) -> np.ndarray:
    size, channels = preprocessing.size, len(preprocessing.mean)
    images = [image[..., np.newaxis] if image.ndim == 2 and channels == 1 else image for image in images]
    if wrong := [image.shape for image in images if image.ndim != 3 or image.shape[-1] != channels]:
        raise ValueError(f"Images should have the shape (height, width, {channels}). Received: {wrong[0]}")
    low, high = min(image.min() for image in images), max(image.max() for image in images)
    if not (low >= 0 and 1 < high <= 255):
        raise ValueError(
            "Images should be pixels from 0 to 255, before any normalisation. "
            f"Received: values from {low:.4g} to {high:.4g}"
        )
    images = [np.rint(image).astype(np.uint8) for image in images]
    if all(image.shape == (size, size, channels) for image in images):
        return np.stack(images)
    transform = evaluation_transform(preprocessing)
    return np.stack([transform(tf.constant(image)).numpy() for image in images])
