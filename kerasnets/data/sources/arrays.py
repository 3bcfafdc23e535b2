"""Images and labels from the arrays of an .npz file."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.errors import BadImages
from kerasnets.data.fingerprint import of_arrays
from kerasnets.data.sources.source import Source, check_split
from kerasnets.recipe.data_options import SourceOptions


def from_arrays(name: str, split: str, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Source:
    """Returns a source of uint8 images [N, H, W, C] and integer labels [N], or 0 and 1 [N, classes], in memory."""
    with tf.device("CPU:0"):  # else TensorFlow would put the whole data set into the memory of the first GPU
        pixels, numbers = tf.constant(images), tf.constant(labels.astype("int32"))
    return Source(
        name=name,
        split=split,
        classes=classes,
        size=len(images),
        encoded=False,
        bad_images=BadImages(len(images)),
        image_name=lambda index: f"{name}/{split}/{index}",
        fetch=lambda index: (tf.gather(pixels, index), tf.gather(numbers, index)),
        facts=lambda: of_arrays(images, labels),
        multi_label=labels.ndim > 1,
    )


def pad(images: np.ndarray, border: int) -> np.ndarray:
    """Adds `border` zero pixels on each side of uint8 images [N, H, W, C]."""
    return np.pad(images, ((0, 0), (border, border), (border, border), (0, 0))) if border else images


def open_arrays(options: SourceOptions, split: str) -> Source:
    """Opens an .npz file: uint8 images [N, H, W] or [N, H, W, C] as `x_<split>`, integer labels [N] as `y_<split>`.

    Labels [N, classes] of zeros and ones let an image have several classes, or none.

    The names of the classes are its array `classes`, or else the numbers of the labels.
    """
    path = Path(options.path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no such .npz file. Received: path={options.path!r}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files if key[:2] in ("x_", "y_") or key == "classes"}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{options.path} is not a readable .npz file ({error}). Received: path={options.path!r}"
        ) from None
    splits = [key[2:] for key in found if key.startswith("x_") and f"y_{key[2:]}" in found]
    check_split(split, splits, options.path)
    images, labels = found[f"x_{split}"], _labels(found[f"y_{split}"])
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "Images must be uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3]. "
            f"Received: x_{split} {images.dtype} {found[f'x_{split}'].shape}"
        )
    if len(images) != len(labels) or not len(images) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(
            "Each image needs one whole number >= 0 as its label, or whole numbers 0 and 1, one for each class. "
            f"Received: {len(images)} images, {len(labels)} labels {labels.dtype} in {options.path}"
        )
    multi_label = labels.ndim > 1
    if multi_label and (labels.max() > 1 or len({_labels(found[f"y_{name}"]).shape[1:] for name in splits}) > 1):
        raise ValueError(f"Labels [N, classes] are 0 or 1, with the same classes in all splits. Received: {path.name}")
    count = labels.shape[1] if multi_label else 1 + max(int(found[f"y_{name}"].max()) for name in splits)
    classes = tuple(map(str, found.get("classes", range(count))))
    if len(classes) < count or (multi_label and len(classes) > count):
        raise ValueError(f"`classes` needs a name for each of {count} classes. Received: {len(classes)} in {path.name}")
    return from_arrays(path.stem, split, pad(images, options.pad), labels, classes)


def _labels(labels: np.ndarray) -> np.ndarray:
    """Returns labels [N], or [N, classes] where there are several columns."""
    return labels if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1)
