"""Load weights into a model: match the tensors by name, plan how they fit, then copy them."""

import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras

from kerasnets.layers.network import at_size, carried
from kerasnets.layers.preprocessing import PixelNormalization
from kerasnets.registry import Preprocessing
from kerasnets.weights.catalogue import checkpoint_in
from kerasnets.weights.files import open_checkpoint
from kerasnets.weights.fit import LoadReport, Plan, fit
from kerasnets.weights.knc import read_contents
from kerasnets.weights.mapping import FORMATS, match, weight_targets

# The configuration of a `.keras` file is not read beyond this many bytes; NASNet-Large's has two million.
_LARGEST_CONFIG = 50_000_000


def load_weights(model: keras.Model, source, *, format: str = "auto", skip_mismatch: bool = False) -> LoadReport:
    """Loads a checkpoint of torchvision, timm, efficientnet_pytorch, keras.applications or this package into a model.

    A classifier of other classes keeps its initial values. Weights for another number of channels or another input size
    are adapted.

    The model's `preprocessing` is set too: to that of a public checkpoint, recognised by the name of the file, or to
    that in a `.keras` or `.knc` file. For any other file the model keeps its own, and a warning shows it. A dict does
    not change it.

    Args:
        model: a network of this package.
        source: a dict of arrays with PyTorch's names and layouts, or the path of a `.safetensors`, `.pth`, `.h5`,
            `.weights.h5` or `.keras` file.
        format: the convention of the names: `"torchvision"`, `"timm"`, `"efficientnet_pytorch"`,
            `"keras_applications"`, `"keras"` (a file that Keras saved from this very network), or `"auto"` to recognise
            it by the names.
        skip_mismatch: whether weights that do not fit keep their initial values instead of raising an error.

    Returns:
        A report of what happened to every tensor.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a damaged file, or a tensor that is missing, unknown, or of another shape. The model is not
            changed.
        ImportError: for a PyTorch file without PyTorch.
    """
    if format not in FORMATS:
        raise ValueError(f"`format` should be one of {', '.join(FORMATS)}. Received: format={format!r}")
    targets = weight_targets(model)
    with open_checkpoint(source) as checkpoint:
        plan = fit(match(checkpoint, targets, format), targets, skip_mismatch)
        apply(plan)
    set_preprocessing(model, source)
    return plan.report


def apply(plan: Plan) -> None:
    """Copies the tensors of a plan. All are read before the first is assigned: a damaged file changes nothing."""
    arrays = [(variable, tensor.read()) for variable, tensor in plan.copies]
    for variable, array in arrays:
        variable.assign(array)


def set_preprocessing(model: keras.Model, source) -> None:
    """Gives a model the preprocessing of the weights that were loaded, or warns of the numbers that it keeps."""
    if isinstance(source, Mapping):
        return
    numbers, kept = numbers_in(source), carried(model)
    if numbers is None:
        if kept is not None:
            warnings.warn(assumption(Path(source).name, kept), stacklevel=3)
        return
    model.preprocessing = at_size(numbers, model.input_shape)
    for layer in normalizations(model):
        layer.set_numbers(numbers)
        model.train_function = model.test_function = model.predict_function = None  # traced with the old numbers


def numbers_in(path) -> Preprocessing | None:
    """Returns the preprocessing of a public checkpoint, known by its file's name, or that in a `.keras` or `.knc` file.

    `None` for any other file.
    """
    if checkpoint := checkpoint_in(Path(path).name):
        return checkpoint.preprocessing
    try:
        if Path(path).suffix == ".knc":
            return Preprocessing.from_plain(read_contents(path).preprocessing)
        with zipfile.ZipFile(path) as file:
            if file.getinfo("config.json").file_size <= _LARGEST_CONFIG:
                return Preprocessing.from_plain(json.loads(file.read("config.json"))["config"]["preprocessing"])
    except (OSError, KeyError, TypeError, AttributeError, ValueError, zipfile.BadZipFile):
        pass
    return None


def assumption(what: str, numbers: Preprocessing) -> str:
    """Returns the sentence for a file or a model that does not say its preprocessing."""
    order, mean, std = numbers.channel_order.upper(), list(numbers.mean), list(numbers.std)
    return f"{what} does not say how its images are prepared; assuming {order}, mean {mean}, std {std}."


def normalizations(model: keras.Model) -> Iterator[PixelNormalization]:
    """Yields the layers that normalise pixels, also those of nested models."""
    for layer in model.layers:
        if isinstance(layer, PixelNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from normalizations(layer)
