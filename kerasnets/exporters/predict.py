"""Classify image files with a run, a .keras file, an exported file, or a model's name and its weights."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from kerasnets.data.images.files import load_files
from kerasnets.data.images.per_image import normalise
from kerasnets.data.images.suffixes import image_files
from kerasnets.exporters.files import check_labels, read_metadata
from kerasnets.exporters.loading import is_exported, load_exported
from kerasnets.exporters.open_network import LoadedNetwork, classifier, open_network, probabilities
from kerasnets.graph.fold import inference_form
from kerasnets.graph.inference import frozen
from kerasnets.registry import Preprocessing

# From these numbers of images on, it saves time to compile a network, and to fold its batch normalisation first.
# `benchmarks/predict_forms.py` measures them. TensorFlow folds most normalisations of a compiled network by itself.
WORTH_COMPILING, WORTH_FOLDING = 10, 2000


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


def open_predictor(target: str | Path | keras.Model, weights: str | None = None, *, images: int = 1) -> Predictor:
    """Opens a network to classify images with.

    Args:
        target: a run folder, a .keras, .tflite or .onnx file, a SavedModel's folder, a model, or a model's name.
        weights: for a model's name, what its builder takes.
        images: about how many images will be classified. For many, the network is compiled first.

    Raises:
        ValueError, FileNotFoundError: for a target that cannot be opened, or a model's name without weights.
    """
    if isinstance(target, str | Path) and is_exported(target):
        path = Path(target)
        if not path.exists():
            raise FileNotFoundError(f"There is no exported file. Received: target={str(path)!r}")
        preprocessing, labels = read_metadata(path)
        runner = load_exported(path)
        check_labels(labels, runner.classes, path)
        return Predictor(runner.run, preprocessing, labels)
    opened = open_network(target, weights)
    if opened.random:
        raise ValueError(
            f"A model that is given by name predicts with its weights (--weights). Received: target={str(target)!r}, "
            "weights=None"
        )
    check_labels(opened.labels, classifier(opened.model).output_shape[-1], opened.name)
    return Predictor(_runner(opened, images), opened.preprocessing, opened.labels)


def _runner(opened: LoadedNetwork, images: int) -> Callable:
    """Returns what runs an opened model: as it is, as one graph, or as the folded and frozen graph of `optimize`."""
    net, preprocessing = classifier(opened.model), opened.preprocessing
    if images < WORTH_COMPILING:
        return lambda pixels: probabilities(net, pixels, preprocessing)
    net = inference_form(net) if images >= WORTH_FOLDING else net
    run = frozen(net, lambda pixels: normalise(pixels, preprocessing))
    return lambda pixels: run(np.asarray(pixels, "float32")).numpy()


def predict(
    target, paths: Iterable[str | Path], top: int = 5, weights: str | None = None, batch_size: int = 32
) -> list[dict]:
    """Classifies image files. Several files are decoded in parallel.

    Args:
        target: a `Predictor`, or what `open_predictor` takes.
        paths: image files and folders. Of a folder every image file is taken, also in sub-folders, sorted by name.
        top: how many classes to return for each image.
        weights: for a model's name, what its builder takes.
        batch_size: images that the network gets at a time. It changes the speed, not the result.

    Returns:
        A list with an entry for each file: `{"image": path, "predictions": [{"index", "label", "probability"}, ...]}`
        with the most probable class first, or `{"image": path, "error": text}` for a file that could not be read.

    Raises:
        ValueError, FileNotFoundError: as `open_predictor`.
    """
    files = list(image_files(paths))
    if not isinstance(target, Predictor):
        target = open_predictor(target, weights, images=len(files))
    return list(classify(target, files, top, batch_size))


def classify(predictor: Predictor, files: Sequence[Path], top: int = 5, batch_size: int = 32) -> Iterator[dict]:
    """Yields the entries of `predict` for image files, batch by batch.

    Raises:
        ValueError: `top` or `batch_size` is not positive.
    """
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` should be a positive integer. Received: {name}={value!r}")
    return _entries(predictor, files, top, batch_size)


def _entries(predictor: Predictor, files: Sequence[Path], top: int, batch_size: int) -> Iterator[dict]:
    loaded, done = load_files(files, predictor.preprocessing), 0
    while batch := list(itertools.islice(loaded, batch_size)):
        images = [image for image in batch if not isinstance(image, Exception)]
        outputs = iter(predictor.run(np.stack(images)) if images else ())
        for path, image in zip(files[done:], batch, strict=False):
            if isinstance(image, Exception):  # The other files are still classified.
                yield {"image": str(path), "error": " ".join(str(image).split())}
            else:
                yield {"image": str(path), "predictions": _best(next(outputs), predictor.labels, top)}
        done += len(batch)


def _best(output: np.ndarray, labels: Sequence[str], top: int) -> list[dict]:
    best = np.argsort(-output, kind="stable")[:top]
    return [{"index": int(i), "label": labels[i], "probability": float(output[i])} for i in best]
