"""What turns images into a network's input: the numbers that belong to a checkpoint, and `preprocess_input`."""

import warnings
from pathlib import Path

import keras
import numpy as np

from kerasnets.layers.preprocessing import PixelNormalization, normalize_pixels
from kerasnets.registry import Preprocessing, did_you_mean, get_row
from kerasnets.weights.catalogue import checkpoints
from kerasnets.weights.load import initial_preprocessing


def preprocessing_of(name: str, weights=None, arguments: dict | None = None) -> Preprocessing:
    """Returns the numbers that images are prepared by for a network with certain weights.

    Args:
        name: a row.
        weights: what its builder takes: `None`, `"imagenet"`, a checkpoint's tag, or a path. A file that is called as a
            public checkpoint of the row has that checkpoint's numbers, any other file the row's own.
        arguments: the builder's other arguments.

    Raises:
        ValueError: for a name that is not registered, or a checkpoint that the row does not have.
    """
    row = get_row(name)
    if named := [c for c in checkpoints(name) if weights is not None and c.file == Path(weights).name]:
        return named[0].preprocessing
    return initial_preprocessing(row, weights, {k: v for k, v in (arguments or {}).items() if k in row.extras})


def preprocess_input(x, name_or_model, tag: str | None = None):
    """Normalises images for a network, as training, evaluation, prediction and export do. `x` is not changed.

    Args:
        x: RGB or grey pixels 0-255 (height, width, channels) or (batch, height, width, channels): an array of any
            dtype, or a tensor.
        name_or_model: a row's name, or a model that kept it.
        tag: a public checkpoint of the row; `None` is the first that `kerasnets info` names, or the row's own numbers
            where it has none.

    Returns:
        float32 of the same shape: an array for an array, a tensor for a tensor. A model built with
        `include_preprocessing=True` takes pixels, and gets them as they are.

    Raises:
        ValueError: for a name or tag that does not exist, or images of another shape.
    """
    name = name_or_model if isinstance(name_or_model, str) else name_or_model.name
    numbers = _numbers(name, tag)
    is_tensor = keras.ops.is_tensor(x) or isinstance(x, keras.KerasTensor)
    images = x if is_tensor else np.asarray(x)
    if len(images.shape) not in (3, 4) or images.shape[-1] not in (None, len(numbers.mean)):
        raise ValueError(
            f"`x` should be images ([batch,] height, width, {len(numbers.mean)}). Received: shape {tuple(images.shape)}"
        )
    _warn_if_scaled(images)
    layers = () if isinstance(name_or_model, str) else name_or_model.layers
    if any(isinstance(layer, PixelNormalization) for layer in layers):
        return keras.ops.cast(images, "float32") if is_tensor else images.astype(np.float32)
    result = normalize_pixels(images, numbers.mean, numbers.std, numbers.channel_order)
    return result if is_tensor else keras.ops.convert_to_numpy(result)


def _numbers(name: str, tag: str | None) -> Preprocessing:
    row, tags = get_row(name), {checkpoint.tag: checkpoint for checkpoint in checkpoints(name)}
    if tag is not None and tag not in tags:
        raise ValueError(
            f"`tag` should be `None` or a public checkpoint of {name!r}: {', '.join(tags) or 'it has none'}."
            f"{did_you_mean(tag, tags)} Received: tag={tag!r}"
        )
    chosen = tags.get(tag) or next(iter(tags.values()), None)
    return chosen.preprocessing if chosen else row.preprocessing


def _warn_if_scaled(images) -> None:
    """Says so when pixels are floats in a range that somebody has scaled already; symbolic tensors have none."""
    try:
        values = np.asarray(images)
    except (NotImplementedError, TypeError, ValueError):
        return
    if values.size and values.dtype.kind == "f" and (values.min() < 0 or 0 < values.max() <= 1):
        low, high = float(values.min()), float(values.max())
        warnings.warn(
            f"`preprocess_input` takes pixels from 0 to 255; these go from {low:.3g} to {high:.3g} and look scaled "
            "already.",
            stacklevel=3,
        )
