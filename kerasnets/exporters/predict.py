"""Classify image files with a run, a .keras file, an exported file, or a model's name and its weights."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import keras
import numpy as np

from kerasnets.data.images.per_image import load_image
from kerasnets.data.images.suffixes import is_image_file
from kerasnets.exporters.files import check_labels, is_saved_model, read_metadata
from kerasnets.exporters.open_network import classifier, open_network, probabilities
from kerasnets.exporters.saved_model import load_saved_model
from kerasnets.exporters.tflite import load_tflite
from kerasnets.registry import Preprocessing


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A network ready to classify.

    Attributes:
        run: pixels 0-255 (batch, size, size, channels) -> probabilities (batch, classes).
        preprocessing: the numbers that turn an image file into those pixels.
        labels: a name for each class.
    """

    run: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    labels: tuple[str, ...]


def open_predictor(target: str | Path | keras.Model, weights: str | None = None) -> Predictor:
    """Opens a network to classify images with.

    Args:
        target: a run folder, a .keras or .tflite file, a SavedModel's folder, a model, or a model's name.
        weights: for a model's name, what its builder takes.

    Raises:
        ValueError, FileNotFoundError: for a target that cannot be opened, or a model's name without weights.
    """
    if isinstance(target, str | Path) and (Path(target).suffix == ".tflite" or is_saved_model(target)):
        path = Path(target)
        if not path.exists():
            raise FileNotFoundError(f"There is no exported file. Received: target={str(path)!r}")
        preprocessing, labels = read_metadata(path)
        runner = load_saved_model(path) if path.is_dir() else load_tflite(path)
        check_labels(labels, runner.classes, path)
        return Predictor(runner.run, preprocessing, labels)
    opened = open_network(target, weights)
    if opened.random:
        raise ValueError(
            f"A model that is given by name predicts with its weights (--weights). Received: target={str(target)!r}, "
            "weights=None"
        )
    net = classifier(opened.model)
    check_labels(opened.labels, net.output_shape[-1], opened.name)
    return Predictor(
        lambda images: probabilities(net, images, opened.preprocessing), opened.preprocessing, opened.labels
    )


def predict(target, paths: Iterable[str | Path], top: int = 5, weights: str | None = None) -> list[dict]:
    """Classifies image files.

    Args:
        target: a `Predictor`, or what `open_predictor` takes.
        paths: image files and folders. Of a folder every image file is taken, also in sub-folders, sorted by name.
        top: how many classes to return for each image.
        weights: for a model's name, what its builder takes.

    Returns:
        An entry for each file: `{"image": path, "predictions": [{"index", "label", "probability"}, ...]}` with the most
        probable class first, or `{"image": path, "error": text}` for a file that could not be read.

    Raises:
        ValueError, FileNotFoundError: as `open_predictor`.
    """
    if top < 1:
        raise ValueError(f"`top` should be a positive integer. Received: top={top!r}")
    predictor = target if isinstance(target, Predictor) else open_predictor(target, weights)
    return [_classify(predictor, path, top) for path in image_files(paths)]


def image_files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Yields the files among `paths`, and the image files in its folders."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file() and is_image_file(file.name))
        else:
            yield path


def _classify(predictor: Predictor, path: Path, top: int) -> dict:
    try:
        image = np.asarray(load_image(path, predictor.preprocessing))
    except (OSError, ValueError) as error:  # The other files are still classified.
        return {"image": str(path), "error": " ".join(str(error).split())}
    output = predictor.run(image[np.newaxis])[0]
    best = np.argsort(-output, kind="stable")[:top]
    named = [{"index": int(i), "label": predictor.labels[i], "probability": float(output[i])} for i in best]
    return {"image": str(path), "predictions": named}
