"""What can be exported or asked for a prediction: a run folder, or a network by name with its weights."""

import dataclasses
from pathlib import Path

import keras

from kerasnets.data.labels import default_labels, readable
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing, create_model, did_you_mean, list_models
from kerasnets.runs.folder import is_run, load_model, open_run
from kerasnets.weights.preprocess import preprocessing_of


@dataclasses.dataclass(frozen=True)
class Target:
    """A network with all that belongs to it.

    Attributes:
        name: the run's folder name or the network's name; exported files are called so.
        model: input (batch, size, size, channels), normalised.
        preprocessing: the numbers that make an image file into that input.
        labels: a name for each class.
        data: where a run's images come from, `None` for a network by name.
        run: the run's folder, `None` for a network by name.
        random: whether the weights are those that the network was built with.
    """

    name: str
    model: keras.Model
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    data: DataOptions | None = None
    run: Path | None = None
    random: bool = False


def open_target(target: str | Path | keras.Model, weights: str | None = None) -> Target:
    """Opens a run folder or a `.keras` file, or builds the network called `target`.

    Args:
        target: a run folder, a `.keras` file, a model, or a network's name.
        weights: for a network by name, what its builder takes: `None`, `"imagenet"`, a checkpoint's tag or a file.

    Raises:
        ValueError: for a target that is neither, or weights that the network cannot take.
    """
    if isinstance(target, keras.Model):
        return _target(target.name, target)
    if Path(target).suffix == ".keras":
        return _target(Path(target).stem, load_model(target))
    if is_run(target):
        run = open_run(target)
        labels = readable(run.labels)
        return Target(run.path.resolve().name, run.model, run.preprocessing, labels, run.recipe.data, run.path)
    names = list_models()
    if str(target) not in names:
        raise ValueError(
            "The target should be a run folder, an exported file (to predict), a .keras file or a network's name."
            f"{did_you_mean(str(target), names)} Received: target={str(target)!r}"
        )
    return _target(str(target), create_model(str(target), weights=weights), random=weights is None)


def _target(name: str, model: keras.Model, random: bool = False) -> Target:
    return Target(name, model, preprocessing_of(model), default_labels(model.output_shape[-1]), random=random)
