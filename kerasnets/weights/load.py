"""Loading weights into a model, with a report of what happened to every tensor."""

import dataclasses
import difflib
import os
from pathlib import Path

import keras
import numpy as np

from kerasnets.weights.adapt import adapt
from kerasnets.weights.names import Tensor, classifier_module, classifiers, is_optional, tensors
from kerasnets.weights.readers import Checkpoint, open_checkpoint

# A tensor that has to be adapted may be this many times larger than its place; a file cannot fill the memory.
_MOST_TIMES_LARGER = 64


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did; every list holds the names of the checkpoint.

    Attributes:
        loaded: tensors that were copied into the model as they are.
        adapted: tensors that were made to fit (other channels, another input size), with both shapes.
        left: tensors whose initial values stay: a classifier of other classes, with both shapes, and with
            `skip_mismatch=True` what the checkpoint has not.
        unused: tensors of the checkpoint that the model has no place for.
        skipped: tensors whose shape did not fit, with both shapes (`skip_mismatch=True` only).
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = (f"{len(getattr(self, f.name))} {f.name}" for f in dataclasses.fields(self))
        return ", ".join(counts)


def load_weights(model: keras.Model, source, *, format: str = "auto", skip_mismatch: bool = False) -> LoadReport:
    """Loads a checkpoint in PyTorch's names and layouts (torchvision, timm) or Keras's own `.weights.h5`.

    Args:
        model: a network of this package.
        source: a dict of arrays, or the path of a `.safetensors` or `.weights.h5` file.
        format: `"auto"` recognises the file by its name.
        skip_mismatch: whether to leave tensors that do not fit at their initial values instead of raising.

    Returns:
        A report; nothing is changed in the model when an error is raised.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a damaged file, a tensor that is missing, left over, or of another shape.
    """
    if format not in ("auto", "torch", "keras"):
        raise ValueError(f"`format` should be 'auto', 'torch' or 'keras'. Received: format={format!r}")
    if format == "keras" or (isinstance(source, (str, Path)) and str(source).endswith(".weights.h5")):
        return _load_keras_file(model, Path(source), skip_mismatch)
    with open_checkpoint(source) as checkpoint:
        return _load(model, checkpoint, skip_mismatch)


def load_initial_weights(model, row, weights, include_top: bool) -> None:
    """Serves the `weights` argument of every builder; the graph is finished by now and does not depend on it."""
    if isinstance(weights, (str, os.PathLike)) and Path(weights).is_file():
        load_weights(model, weights)
    elif (
        isinstance(weights, os.PathLike)
        or os.sep in str(weights)
        or Path(str(weights)).suffix in (".safetensors", ".h5")
    ):
        raise FileNotFoundError(f"No weights file at {str(weights)!r}. Received: weights={str(weights)!r}")
    elif weights == "imagenet":
        raise ValueError(f"{row.name!r} has no public weights. Received: weights='imagenet'")
    else:
        raise ValueError(
            "The `weights` argument should be either `None` (random initialization), 'imagenet' (pre-training on "
            f"ImageNet), or the path to the weights file to be loaded.  Received: weights={weights}"
        )


def _load(model, checkpoint: Checkpoint, skip_mismatch: bool) -> LoadReport:
    classifier = classifier_module(checkpoint, model)
    wanted = {t.name(classifier if t.layer == "predictions" else None): t for t in tensors(model)}
    left = [name for name in wanted if name not in checkpoint]
    headless = not any(t.layer == "predictions" for t in wanted.values())
    unused = [name for name in checkpoint if name not in wanted]
    unexpected = [n for n in unused if not is_optional(n) and not (headless and n.rpartition(".")[0] == classifier)]
    if (left or unexpected) and not skip_mismatch:
        raise ValueError(_explain(checkpoint, left, unexpected))
    found = {name: tensor for name, tensor in wanted.items() if name in checkpoint}
    odd = {name: _shape(checkpoint, name, t) for name, t in found.items()}
    odd = {name: shape for name, shape in odd.items() if shape != tuple(found[name].variable.shape)}
    heads = {name for name, shape in odd.items() if _other_classes(found[name], shape, classifiers(model))}
    adapted = {n: a for n in odd if n not in heads and (a := _adapted(checkpoint, n, found[n], model)) is not None}
    skipped = [name for name in odd if name not in heads and name not in adapted]
    if skipped and not skip_mismatch:
        name = skipped[0]
        raise ValueError(
            f"{checkpoint.source}: {len(skipped)} tensors have other shapes than the model, first {name!r}: the "
            f"model's is {tuple(wanted[name].variable.shape)} in Keras's order. "
            f"Received: {checkpoint.shape(name)} in PyTorch's order"
        )
    loaded = [name for name in found if name not in odd]
    for name in loaded:
        found[name].variable.assign(found[name].convert(checkpoint[name]))
    for name, array in adapted.items():
        found[name].variable.assign(array)
    both = {name: f"{name}: {checkpoint.shape(name)} into {tuple(found[name].variable.shape)}" for name in odd}
    left += [both[name] for name in odd if name in heads]
    return LoadReport(
        tuple(loaded), tuple(map(both.get, adapted)), tuple(left), tuple(unused), tuple(map(both.get, skipped))
    )


def _shape(checkpoint: Checkpoint, name: str, tensor: Tensor) -> tuple | None:
    """A tensor's shape in Keras's order, tried on an array that takes no memory; `None` when it has none."""
    try:
        return tensor.convert(np.broadcast_to(np.float32(0), checkpoint.shape(name))).shape
    except ValueError:
        return None


def _other_classes(tensor: Tensor, shape: tuple | None, heads: set[str]) -> bool:
    """Whether the shape differs from the model's by the number of classes alone."""
    return shape is not None and tensor.layer in heads and shape[:-1] == tuple(tensor.variable.shape)[:-1]


def _adapted(checkpoint: Checkpoint, name: str, tensor: Tensor, model) -> np.ndarray | None:
    """The array made to fit, or `None`; nothing is read that is far larger than its place."""
    shape = _shape(checkpoint, name, tensor)
    if shape is None or np.prod(shape, dtype=float) > _MOST_TIMES_LARGER * np.prod(tensor.variable.shape):
        return None
    array = adapt(name, tensor.convert(checkpoint[name]), tensor, model)
    return array if array is not None and array.shape == tuple(tensor.variable.shape) else None


def _explain(checkpoint: Checkpoint, left: list, unexpected: list) -> str:
    name = (left or unexpected)[0]
    others = unexpected if left else left
    near = difflib.get_close_matches(name, others or list(checkpoint), n=10, cutoff=0.0)
    return (
        f"{checkpoint.source} does not fit the model: {len(left)} tensors are missing (first {left[:1]}), "
        f"{len(unexpected)} are not the model's (first {unexpected[:1]}). "
        f"Nearest to {name!r}: {near}. `skip_mismatch=True` loads what fits."
    )


def _load_keras_file(model, path: Path, skip_mismatch: bool) -> LoadReport:
    if not path.is_file():
        raise FileNotFoundError(f"No weights file at {str(path)!r}. Received: source={str(path)!r}")
    try:
        model.load_weights(path, skip_mismatch=skip_mismatch)
    except Exception as error:
        raise ValueError(f"{str(path)!r} does not fit the model: {str(error).splitlines()[0]}") from None
    return LoadReport(tuple(w.path for w in model.weights))
