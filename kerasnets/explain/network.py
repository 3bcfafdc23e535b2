"""Run a classifier and see its logits and the output of a layer inside; check what the user asks for.

All methods of this package go through these functions. They explain logits: a softmax or sigmoid at the end is left
out, because saturated probabilities hide what a picture changes.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
from keras import ops

from kerasnets.graph.walk import described, functional, is_functional, opened_calls, producer, run
from kerasnets.layers.backend import tf
from kerasnets.registry import did_you_mean

_PROBABILITIES = ("softmax", "sigmoid", "log_softmax")
# Of TensorFlow; other backends have errors of their own.
OUT_OF_MEMORY = (tf.errors.ResourceExhaustedError,) if tf else ()
_POOLING = ("Pool", "Dropout", "Flatten", "Reshape", "Padding", "Softmax")


def logits_of(
    model: keras.Model,
    images,
    seen: Callable | None = None,
    around: Callable | None = None,
    instead: Mapping | None = None,
):
    """Runs a functional classifier in inference mode, without the softmax or sigmoid at its end.

    Args:
        images: tensor (batch, height, width, channels), as the model takes it.
        seen: `(layer, output, *inputs) -> output`, called after every layer; what it returns takes the output's place.
        around: `layer -> context manager`, in which the layer runs.
        instead: layer -> the layer that runs in its place.

    Returns:
        float32 tensor (batch, classes).
    """
    last, instead = _last_layer(model), instead or {}

    def step(layer):
        layer = instead.get(layer, layer)

        def call(*inputs, **options):
            if "training" in inspect.signature(layer.call).parameters:
                options["training"] = False
            with around(layer) if around else contextlib.nullcontext(), _as_logits(layer, last):
                output = layer(*inputs, **options) if not _is_softmax(layer, last) else inputs[0]
            return seen(layer, output, *inputs) if seen else output

        return call

    outputs = run(model, images, step)
    return ops.cast(_classes(outputs), "float32")


def _classes(outputs):
    """Returns the classifier's output: the one called `predictions`, or the only one."""
    if isinstance(outputs, dict):
        outputs = outputs["predictions"] if "predictions" in outputs else list(outputs.values())
    while isinstance(outputs, list | tuple):
        outputs = outputs[0]
    return outputs


def _last_layer(model) -> keras.Layer:
    """Returns the layer that makes the classes, of the innermost model where models are nested."""
    layer = producer(_output_of(model))
    while is_functional(layer):
        layer = producer(_output_of(layer))
    return layer


def _output_of(model):
    return _classes(functional(model).output)


def _is_softmax(layer, last) -> bool:
    return layer is last and type(layer).__name__ in ("Softmax", "LogSoftmax", "Sigmoid")


def _as_logits(layer, last):
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return without_activation(layer) if layer is last and activation in _PROBABILITIES else contextlib.nullcontext()


@contextlib.contextmanager
def without_activation(layer):
    """Takes the activation off a layer, if it has one, for as long as it runs."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        yield
        return
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation


def checked(model: keras.Model, images, target=None, layer: str | None = None) -> tuple[np.ndarray, list | None]:
    """Checks the arguments that all methods share.

    Returns:
        The images as float32, and the targets as a list with one for each image, or `None`.

    Raises:
        ValueError: for a model that is not functional or no classifier of images, images of another shape, a target
            that is no class, or a layer that does not exist.
    """
    shape, output = functional(model).inputs[0].shape, _output_of(model)
    if len(functional(model).inputs) != 1 or len(shape) != 4 or len(output.shape) != 2:
        raise ValueError(
            "Maps are made for models from images (batch, height, width, channels) to classes (batch, classes). "
            f"Received: {described(model)}, {tuple(shape)} -> {tuple(output.shape)}"
        )
    images = np.asarray(images, "float32")
    fits = images.ndim == 4 and all(want in (None, has) for want, has in zip(shape[1:], images.shape[1:], strict=True))
    if not fits or not len(images):
        raise ValueError(f"`images` should have the shape {tuple(shape)}. Received: images of shape {images.shape}")
    if layer is not None and layer not in (names := [call.layer.name for call in opened_calls(model)]):
        raise ValueError(f"{model.name!r} has no such layer.{did_you_mean(layer, names)} Received: layer={layer!r}")
    return images, None if target is None else _targets(target, len(images), output.shape[-1], layer)


def _targets(target, count: int, classes: int, layer: str | None) -> list[int]:
    targets = np.broadcast_to(target, count) if np.ndim(target) == 0 else np.asarray(target)
    whole = np.issubdtype(targets.dtype, np.integer)
    low, high = (targets.min(), targets.max()) if whole and targets.size else (-1, -1)
    if targets.shape != (count,) or low < 0 or (layer is None and high >= classes):
        raise ValueError(
            f"`target` should be a class from 0 to {classes - 1}, or one for each of {count} images. "
            f"Received: target={target!r}"
        )
    return [int(number) for number in targets]


def default_layer(model: keras.Model) -> str:
    """Returns the name of the layer that class activation maps look at unless another one is named.

    It is the last layer whose output still has a height and a width; pooling, dropout and padding do not count.

    Raises:
        ValueError: for a model without feature maps.
    """
    for call in reversed(opened_calls(model, _output_of(model))):
        shape, kind = call.outputs[0].shape, type(call.layer).__name__
        if len(shape) == 4 and tuple(shape[1:3]) != (1, 1) and not any(word in kind for word in _POOLING):
            return call.layer.name
    raise ValueError(
        "Maps of this kind need a layer with an output (batch, height, width, channels). "
        f"Received: {described(model)}, which has none"
    )


def chosen(logits, target: list | None, start: int = 0):
    """Returns (the logit of each image's target, the targets); without targets they are the largest logits."""
    if target is None:
        picked = tf.argmax(logits, axis=-1, output_type=tf.int32)
    else:
        picked = tf.constant(target[start : start + logits.shape[0]], tf.int32)
    return tf.gather(logits, picked, axis=1, batch_dims=1), picked


def all_logits(model: keras.Model, images, batch_size: int = 32) -> np.ndarray:
    """Returns the logits of images, float32 (batch, classes).

    Raises:
        ValueError: for outputs that are probabilities although no softmax was found at the model's end.
    """
    with clear_about_memory(batch_size):
        parts = batches(len(images), batch_size)
        found = [ops.convert_to_numpy(logits_of(model, ops.convert_to_tensor(images[part]))) for part in parts]
    logits = np.concatenate(found)
    if logits.shape[1] > 1 and (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "Maps explain logits, and this model ends in a softmax inside a layer of its own; make it end in "
            f"keras.layers.Softmax. Received: {described(model)}"
        )
    return logits


def outputs_of(model: keras.Model, images, layers: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns name -> float32 output of the named layers, and the logits, for one batch of images.

    Raises:
        ValueError: for a layer that does not exist.
    """
    found = {}

    def seen(passed, output, *_):
        if passed.name in layers:
            found[passed.name] = output
        return output

    logits = logits_of(model, tf.constant(images), seen).numpy()
    if missing := [name for name in layers if name not in found]:
        raise ValueError(f"{model.name!r} has no such layer. Received: layer {missing[0]!r}")
    return {name: np.asarray(output, "float32") for name, output in found.items()}, logits


def same_images(images: np.ndarray) -> list[list[int]]:
    """Returns the numbers of the images in groups of equal ones, so that what they share is computed once."""
    groups: dict[bytes, list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(image.tobytes(), []).append(number)
    return list(groups.values())


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """Yields slices of at most `batch_size` that cover `count` examples."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` should be a positive integer. Received: batch_size={batch_size!r}")
    return (slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size))


@contextlib.contextmanager
def clear_about_memory(batch_size: int):
    """Turns TensorFlow's error about memory into one line.

    Raises:
        MemoryError: when a batch does not fit.
    """
    try:
        yield
    except OUT_OF_MEMORY:
        raise MemoryError(
            f"A batch does not fit into memory; give a smaller `batch_size`. Received: batch_size={batch_size}"
        ) from None
