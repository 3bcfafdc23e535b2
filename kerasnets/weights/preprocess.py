"""The preprocessing that belongs to a model or to the `weights` argument of a builder, and `preprocess_input`."""

import dataclasses
import os
import warnings
from pathlib import Path

import keras
import numpy as np

from kerasnets.architectures import catalogue  # noqa: F401  (registers every variant)
from kerasnets.layers.network import at_size, carried
from kerasnets.layers.preprocessing import normalize_pixels
from kerasnets.registry import Preprocessing, did_you_mean, get_variant, variant_names
from kerasnets.weights.catalogue import PublicCheckpoint, checkpoint_in, checkpoints, choose
from kerasnets.weights.files import KINDS
from kerasnets.weights.load import assumption, normalizations, numbers_in


def is_path(weights) -> bool:
    """Whether the `weights` argument of a builder is the path of a file, and not the tag of a public checkpoint."""
    if isinstance(weights, str):
        return os.sep in weights or weights.endswith(KINDS) or Path(weights).is_file()
    return isinstance(weights, os.PathLike)


def checkpoint_of(variant, weights, given: dict) -> PublicCheckpoint | None:
    """Returns the public checkpoint that the `weights` argument of a builder means; `None` for any other file.

    Args:
        variant: what is built.
        weights: `"imagenet"`, a tag, or a path. A file with the name of a public checkpoint is that checkpoint.
        given: the arguments of the builder.

    Raises:
        ValueError: for a checkpoint that the variant does not have, or does not have with these arguments.
    """
    if is_path(weights):
        return checkpoint_in(Path(weights).name)
    return choose(variant.name, str(weights), given, {name: p.default for name, p in variant.extras.items()})


def with_checkpoint(variant, given: dict) -> tuple[dict, Preprocessing]:
    """Completes the arguments of a builder by those that the checkpoint of `weights` was trained with.

    A checkpoint sets the input size, and a public checkpoint also arguments such as `alpha`, unless they are given.

    Returns:
        The arguments of the builder, and the preprocessing of the weights. For errors see `checkpoint_of`.
    """
    weights = given["weights"]
    checkpoint = checkpoint_of(variant, weights, given)
    numbers = checkpoint.preprocessing if checkpoint else numbers_in(weights)
    if numbers is None:
        return given, variant.preprocessing
    trained = {key: v for key, v in checkpoint.arguments.items() if key in variant.extras} if checkpoint else {}
    if given.get("include_top", True) and given.get("input_tensor") is None and given.get("input_shape") is None:
        given = given | {"input_shape": (numbers.size, numbers.size, len(numbers.mean))}
    return trained | given, numbers


def preprocessing_of(name_or_model, weights=None, arguments: dict | None = None) -> Preprocessing:
    """Returns the numbers that images are prepared with for a network.

    Args:
        name_or_model: a model, which carries its numbers, or the name of a network.
        weights: with a name, the `weights` argument of its builder: `None`, `"imagenet"`, a tag, or a path.
        arguments: with a name, the other arguments of its builder.

    Returns:
        The numbers that turn an image file into the model's input. For a model that normalises pixels itself the mean
        is 0 and the standard deviation 1.

    Raises:
        ValueError: for an unknown name, a checkpoint that the network does not have, or a model that carries no
            numbers.
    """
    if isinstance(name_or_model, keras.Model):
        return _outside_of(name_or_model, _numbers_of(name_or_model))
    variant, given = get_variant(name_or_model), {**(arguments or {}), "weights": weights}
    return variant.preprocessing if weights is None else with_checkpoint(variant, given)[1]


def _numbers_of(model: keras.Model) -> Preprocessing:
    """Returns the numbers that a model carries, or assumes those of the network of its name."""
    numbers = carried(model)
    if numbers is None and model.name in variant_names():
        numbers = get_variant(model.name).preprocessing
        warnings.warn(assumption(f"The model {model.name!r}", numbers), stacklevel=4)
    if numbers is None:
        raise ValueError(
            "The model does not say how its images are prepared. Pass the network that it was made of or its name, or "
            f"set `model.preprocessing`. Received: a model called {model.name!r}"
        )
    return numbers


def _outside_of(model: keras.Model, numbers: Preprocessing) -> Preprocessing:
    """Returns what is to be done outside of a model: its own input size, and no normalisation where it has its own."""
    if any(normalizations(model)):
        zeros, ones = (0.0,) * len(numbers.mean), (1.0,) * len(numbers.mean)
        numbers = dataclasses.replace(numbers, mean=zeros, std=ones, channel_order="rgb")
    return at_size(numbers, model.input_shape)


def preprocess_input(x, name_or_model, tag: str | None = None):
    """Normalises images for a network, as training, evaluation, prediction and export do. `x` is not changed.

    Args:
        x: RGB or grey pixels 0-255, (height, width, channels) or (batch, height, width, channels): an array of any
            dtype, or a tensor.
        name_or_model: a model, which knows the preprocessing of its weights, or the name of a variant.
        tag: a public checkpoint of the variant. `None` means the preprocessing of the model. For a name, it means the
            first checkpoint that `kerasnets info` shows, or the variant's own preprocessing if it has none.

    Returns:
        float32 of the same shape: an array for an array, a tensor for a tensor. For a model built with
        `include_preprocessing=True` the pixels are not changed.

    Raises:
        ValueError: for an unknown name or tag, or images of another shape.
    """
    if isinstance(name_or_model, str):
        numbers = _tagged_numbers(name_or_model, tag)
    elif tag is None:
        numbers = preprocessing_of(name_or_model)
    else:
        numbers = _outside_of(name_or_model, _tagged_numbers(name_or_model.name, tag))
    is_tensor = keras.ops.is_tensor(x) or isinstance(x, keras.KerasTensor)
    images = x if is_tensor else np.asarray(x)
    if len(images.shape) not in (3, 4) or images.shape[-1] not in (None, len(numbers.mean)):
        raise ValueError(
            f"`x` should be images ([batch,] height, width, {len(numbers.mean)}). Received: shape {tuple(images.shape)}"
        )
    _warn_if_scaled(images)
    result = normalize_pixels(images, numbers.mean, numbers.std, numbers.channel_order)
    return result if is_tensor else keras.ops.convert_to_numpy(result)


def _tagged_numbers(name: str, tag: str | None) -> Preprocessing:
    variant, tags = get_variant(name), {checkpoint.tag: checkpoint for checkpoint in checkpoints(name)}
    if tag is not None and tag not in tags:
        raise ValueError(
            f"`tag` should be `None` or a public checkpoint of {name!r}: {', '.join(tags) or 'it has none'}."
            f"{did_you_mean(tag, tags)} Received: tag={tag!r}"
        )
    chosen = tags.get(tag) or next(iter(tags.values()), None)
    return chosen.preprocessing if chosen else variant.preprocessing


def _warn_if_scaled(images) -> None:
    """Warns of floats that look scaled already. Symbolic tensors have no values to look at."""
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
