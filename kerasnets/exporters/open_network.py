"""Open a network to export, evaluate or predict with: a run folder, a .keras file, a model or a model's name.

`classifier` gives an opened model one output of probabilities.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from kerasnets.build import create_model
from kerasnets.data.class_names import imagenet_ids
from kerasnets.data.images.per_image import normalise
from kerasnets.data.labels import default_labels, readable
from kerasnets.exporters.files import check_labels
from kerasnets.graph.inference import in_precision
from kerasnets.graph.walk import functional, producer
from kerasnets.layers.network import at_size
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing, did_you_mean, variant_names
from kerasnets.runs.folder import is_run, load_model, open_run
from kerasnets.weights.catalogue import split_tag
from kerasnets.weights.preprocess import preprocessing_of


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A model and what is known about it.

    Attributes:
        name: the name of the run's folder, the file or the model. Exported files get it.
        model: input (batch, size, size, channels), normalised.
        preprocessing: the numbers that turn an image file into that input.
        labels: a name for each class, to show.
        data: the options of a run's images, otherwise `None`.
        run: the run's folder, otherwise `None`.
        random: whether the weights are random.
        classes: the names of the classes in its data, such as WordNet ids; empty when they are unknown.
    """

    name: str
    model: keras.Model
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    data: DataOptions | None = None
    run: Path | None = None
    random: bool = False
    classes: tuple[str, ...] = ()


def open_network(
    target: "str | Path | keras.Model | LoadedNetwork",
    weights: str | None = None,
    *,
    preprocessing: Preprocessing | dict | str | None = None,
    labels: Sequence[str] | None = None,
) -> LoadedNetwork:
    """Opens a run folder, a `.keras` file or a model, or builds the model called `target`.

    Args:
        target: a run folder, a `.keras` file, a model, or a model's name (`resnet50`, `resnet50_v1_5.a1_in1k`).
        weights: for a model's name, what its builder takes: `None`, `"imagenet"`, a checkpoint's tag or a file.
        preprocessing: what turns pixels 0-255 into the input of the model, for a model that does not carry it: the name
            of a network, or numbers such as `{"mean": [127.5] * 3, "std": [127.5] * 3}`. A model that normalises pixels
            itself has mean 0 and standard deviation 1.
        labels: a name for each class. By default those of a run, the ImageNet names for 1000 classes, or numbers.

    Raises:
        ValueError: for another target, weights that do not fit the model, or a wrong number of labels.
    """
    if isinstance(target, LoadedNetwork):
        opened = target
    elif isinstance(target, keras.Model):
        opened = _loaded(target.name, target, preprocessing)
    elif Path(target).suffix == ".keras":
        opened = _loaded(Path(target).stem, load_model(target), preprocessing)
    else:
        opened = _by_name(target, weights)
    changes = {}
    if preprocessing is not None:
        changes["preprocessing"] = _numbers(opened.model, preprocessing)
    if labels is not None:
        check_labels(tuple(labels), classes_of(opened.model), opened.name)
        changes["labels"] = tuple(map(str, labels))
    return dataclasses.replace(opened, **changes)


def _by_name(target: str | Path, weights: str | None) -> LoadedNetwork:
    """Opens a run folder, or builds the model called `target`."""
    if is_run(target):
        run = open_run(target)
        name, labels = run.path.resolve().name, readable(run.labels)
        found = (name, run.model, run.preprocessing, labels, run.recipe.data, run.path)
        return LoadedNetwork(*found, classes=run.labels)
    names = variant_names()
    if str(target).partition(".")[0] not in names:
        raise ValueError(
            "The target should be a run folder, a .keras file, an exported file (to predict) or a model's name."
            f"{did_you_mean(str(target), names)} Received: target={str(target)!r}"
        )
    name, weights = split_tag(str(target), weights)
    return _loaded(name, create_model(name, weights=weights), random=weights is None)


def _loaded(name: str, model: keras.Model, preprocessing=None, *, random: bool = False) -> LoadedNetwork:
    numbers, model = _numbers(model, preprocessing), functional(model)  # a `Sequential` has no outputs of its own
    count = classes_of(model)
    found = (name, model, numbers, default_labels(count))
    return LoadedNetwork(*found, random=random, classes=imagenet_ids(count))


def _numbers(model: keras.Model, given: Preprocessing | dict | str | None) -> Preprocessing:
    """Returns the preprocessing that is given for a model, at the model's input size, or else the model's own."""
    if given is None:
        return preprocessing_of(model)
    if isinstance(given, str):
        given = preprocessing_of(given)
    elif isinstance(given, dict):
        given = Preprocessing.from_plain({key: list(v) if isinstance(v, tuple) else v for key, v in given.items()})
    numbers = at_size(given, model.input_shape)
    if model.input_shape[-1] != len(numbers.mean):
        raise ValueError(
            f"`preprocessing` should have a mean for each of the {model.input_shape[-1]} channels of {model.name!r}. "
            f"Received: mean={numbers.mean}"
        )
    return numbers


def classes_of(model: keras.Model) -> int:
    """Returns the number of classes of a model, also of one with auxiliary outputs."""
    output = model.output["predictions"] if isinstance(model.output, dict) else model.output
    return output.shape[-1]


def classifier(model: keras.Model) -> keras.Model:
    """Returns `model` in float32 with one output of probabilities (batch, classes).

    Auxiliary heads are left out, logits get a softmax, and a model of mixed precision becomes float32 throughout. The
    result shares the weights of `model` unless the precision changes.

    Raises:
        ValueError: for a model whose output is not (batch, classes).
    """
    model = in_precision(model, "float32")
    output = model.output["predictions"] if isinstance(model.output, dict) else model.output
    if len(output.shape) != 2:
        raise ValueError(f"A classifier's output should have the shape (batch, classes). Received: {output.shape}")
    if getattr(producer(output), "activation", None) is keras.activations.linear:
        output = keras.layers.Softmax(name="probabilities", dtype="float32")(output)
    elif output is model.output:
        return model
    return keras.Model(model.inputs, output, name=model.name)


def probabilities(
    model: keras.Model, images: np.ndarray, preprocessing: Preprocessing, batch_size: int = 32
) -> np.ndarray:
    """Returns what a Keras classifier gives for pixels 0-255 (examples, size, size, channels): (examples, classes)."""
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    return np.concatenate([np.asarray(model(normalise(batch, preprocessing), training=False)) for batch in batches])
