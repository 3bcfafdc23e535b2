"""What turns images into a network's input: the numbers that belong to a checkpoint, and `preprocess_input`."""

import dataclasses
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from kerasnets.architectures import catalogue  # noqa: F401  (registers every variant)
from kerasnets.layers.network import at_size, carried
from kerasnets.layers.preprocessing import PixelNormalization, normalize_pixels
from kerasnets.registry import Preprocessing, did_you_mean, get_variant, variant_names
from kerasnets.weights.catalogue import PublicCheckpoint, checkpoint_in, checkpoints, choose
from kerasnets.weights.files import KINDS

# A `.keras` file's configuration is not read beyond this many bytes; NASNet-Large's has two million.
_LARGEST_CONFIG = 50_000_000


def is_path(weights) -> bool:
    """Whether a builder's `weights` is a file, and not the name of a public checkpoint."""
    if not isinstance(weights, str | os.PathLike):
        return False
    return (
        isinstance(weights, os.PathLike) or os.sep in weights or str(weights).endswith(KINDS) or Path(weights).is_file()
    )


def checkpoint_of(row, weights, given: dict) -> PublicCheckpoint | None:
    """Returns the public checkpoint that a builder's `weights` means, `None` for a file of another name.

    Args:
        row: the variant that is built.
        weights: `"imagenet"`, a tag, or a path; a file that is called as a public checkpoint is that checkpoint.
        given: the arguments that the builder was called with.

    Raises:
        ValueError: for a checkpoint that the variant does not have, or not with these arguments.
    """
    if is_path(weights):
        return checkpoint_in(Path(weights).name)
    return choose(row.name, str(weights), given, {name: p.default for name, p in row.extras.items()})


def with_checkpoint(row, given: dict) -> tuple[dict, Preprocessing]:
    """Returns a builder's arguments with what the checkpoint of `weights` brings, and the preprocessing of its images.

    A checkpoint brings its input size, and a public one the arguments that it was trained with; what is given stays.
    See `checkpoint_of` for the arguments and errors.
    """
    weights = given["weights"]
    checkpoint = checkpoint_of(row, weights, given)
    numbers = checkpoint.preprocessing if checkpoint else numbers_in(weights)
    if numbers is None:
        return given, row.preprocessing
    brought = {key: v for key, v in checkpoint.arguments.items() if key in row.extras} if checkpoint else {}
    if given.get("include_top", True) and given.get("input_tensor") is None and given.get("input_shape") is None:
        given = given | {"input_shape": (numbers.size, numbers.size, len(numbers.mean))}
    return brought | given, numbers


def numbers_in(path) -> Preprocessing | None:
    """Returns the preprocessing that a weights file is known to need, `None` for a file that does not tell.

    Known are the public checkpoints, by the names of their files, and `.keras` files, which hold it.
    """
    if checkpoint := checkpoint_in(Path(path).name):
        return checkpoint.preprocessing
    try:
        with zipfile.ZipFile(path) as file:
            if file.getinfo("config.json").file_size <= _LARGEST_CONFIG:
                return Preprocessing.from_plain(json.loads(file.read("config.json"))["config"]["preprocessing"])
    except (OSError, KeyError, TypeError, AttributeError, ValueError, zipfile.BadZipFile):
        pass
    return None


def assumption(what: str, numbers: Preprocessing) -> str:
    """Returns the sentence for a file or model that does not tell its preprocessing."""
    order, mean, std = numbers.channel_order.upper(), list(numbers.mean), list(numbers.std)
    return f"{what} does not say how its images are prepared; assuming {order}, mean {mean}, std {std}."


def adopt(model: keras.Model, source) -> None:
    """Gives a model the preprocessing of the weights file that was loaded into it, or says which numbers it keeps."""
    if isinstance(source, Mapping):
        return
    numbers, kept = numbers_in(source), carried(model)
    if numbers is None:
        if kept is not None:
            warnings.warn(assumption(Path(source).name, kept), stacklevel=3)
        return
    model.preprocessing = at_size(numbers, model.input_shape)
    for layer in _normalisations(model):
        layer.set_numbers(numbers)
        model.train_function = model.test_function = model.predict_function = None  # they hold the old constants


def preprocessing_of(name_or_model, weights=None, arguments: dict | None = None) -> Preprocessing:
    """Returns the numbers that images are prepared by for a network with certain weights.

    Args:
        name_or_model: a model, which carries them, or a network's name.
        weights: for a name, what its builder takes: `None`, `"imagenet"`, a checkpoint's tag, or a path.
        arguments: for a name, the builder's other arguments.

    Returns:
        The numbers that make an image file into the model's input; for a model that normalises pixels itself a mean of
        0 and a deviation of 1.

    Raises:
        ValueError: for a name that is not registered, a checkpoint that it does not have, or a model that carries no
            numbers.
    """
    if isinstance(name_or_model, keras.Model):
        return _into(name_or_model, _of_model(name_or_model))
    row = get_variant(name_or_model)
    return row.preprocessing if weights is None else with_checkpoint(row, {**(arguments or {}), "weights": weights})[1]


def _of_model(model: keras.Model) -> Preprocessing:
    numbers = carried(model)
    if numbers is None and model.name in variant_names():
        numbers = get_variant(model.name).preprocessing
        warnings.warn(assumption(f"The model {model.name!r}", numbers), stacklevel=4)
    if numbers is None:
        raise ValueError(
            "The model does not say how its images are prepared; take the network that it was made of, its name, or "
            f"set `model.preprocessing`. Received: a model called {model.name!r}"
        )
    return numbers


def _into(model: keras.Model, numbers: Preprocessing) -> Preprocessing:
    """What is left to do outside a model: its own size, and no normalisation where it does that itself."""
    if any(_normalisations(model)):
        zeros, ones = (0.0,) * len(numbers.mean), (1.0,) * len(numbers.mean)
        numbers = dataclasses.replace(numbers, mean=zeros, std=ones, channel_order="rgb")
    return at_size(numbers, model.input_shape)


def _normalisations(model: keras.Model):
    """Yields the layers that normalise pixels, those of nested models too."""
    for layer in model.layers:
        if isinstance(layer, PixelNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _normalisations(layer)


def preprocess_input(x, name_or_model, tag: str | None = None):
    """Normalises images for a network, as training, evaluation, prediction and export do. `x` is not changed.

    Args:
        x: RGB or grey pixels 0-255 (height, width, channels) or (batch, height, width, channels): an array of any
            dtype, or a tensor.
        name_or_model: a model, which carries the numbers of its weights under any name, or a network's name.
        tag: a public checkpoint of the network. `None` is what the model carries; for a name the first checkpoint that
            `kerasnets info` shows, or the network's own numbers where it has none.

    Returns:
        float32 of the same shape: an array for an array, a tensor for a tensor. A model built with
        `include_preprocessing=True` takes pixels, and gets them as they are.

    Raises:
        ValueError: for a name or tag that does not exist, or images of another shape.
    """
    if isinstance(name_or_model, str):
        numbers = _numbers(name_or_model, tag)
    elif tag is None:
        numbers = preprocessing_of(name_or_model)
    else:
        numbers = _into(name_or_model, _numbers(name_or_model.name, tag))
    is_tensor = keras.ops.is_tensor(x) or isinstance(x, keras.KerasTensor)
    images = x if is_tensor else np.asarray(x)
    if len(images.shape) not in (3, 4) or images.shape[-1] not in (None, len(numbers.mean)):
        raise ValueError(
            f"`x` should be images ([batch,] height, width, {len(numbers.mean)}). Received: shape {tuple(images.shape)}"
        )
    _warn_if_scaled(images)
    result = normalize_pixels(images, numbers.mean, numbers.std, numbers.channel_order)
    return result if is_tensor else keras.ops.convert_to_numpy(result)


def _numbers(name: str, tag: str | None) -> Preprocessing:
    row, tags = get_variant(name), {checkpoint.tag: checkpoint for checkpoint in checkpoints(name)}
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
