"""Open a network to export, evaluate or predict with: a run folder, a .keras file, a model or a model's name.

`classifier` gives an opened model one output of probabilities.
"""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from kerasnets.build import create_model
from kerasnets.data.class_names import imagenet_ids
from kerasnets.data.images.per_image import normalise
from kerasnets.data.labels import default_labels, readable
from kerasnets.graph.inference import in_precision
from kerasnets.graph.walk import producer
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


def open_network(target: str | Path | keras.Model, weights: str | None = None) -> LoadedNetwork:
    """Opens a run folder, a `.keras` file or a model, or builds the model called `target`.

    Args:
        target: a run folder, a `.keras` file, a model, or a model's name (`resnet50`, `resnet50_v1_5.a1_in1k`).
        weights: for a model's name, what its builder takes: `None`, `"imagenet"`, a checkpoint's tag or a file.

    Raises:
        ValueError: for another target, or weights that do not fit the model.
    """
    if isinstance(target, keras.Model):
        return _loaded(target.name, target)
    if Path(target).suffix == ".keras":
        return _loaded(Path(target).stem, load_model(target))
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


def _loaded(name: str, model: keras.Model, random: bool = False) -> LoadedNetwork:
    count = model.output_shape[-1]
    found = (name, model, preprocessing_of(model), default_labels(count))
    return LoadedNetwork(*found, random=random, classes=imagenet_ids(count))


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
