"""Real images for an export: training images for the calibration, held-out images for the comparison."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasnets.data.images.per_image import evaluation_transform
from kerasnets.data.images.suffixes import is_image_file
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import Source
from kerasnets.exporters.open_network import LoadedNetwork
from kerasnets.exporters.own_images import OwnImages
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing

NO_LABELS = "accuracy: the images have no labels for this network"
NOT_ITS_OWN = "images of the kind that the network is made for"


class CheckImages(NamedTuple):
    """Images for the comparison.

    Attributes:
        pixels: uint8 (examples, size, size, channels).
        labels: class indices (examples,), or `None` if there are none.
        origin: where the images come from.
        unchecked: what the comparison cannot show.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    origin: str
    unchecked: tuple[str, ...] = ()


def has_images(network: LoadedNetwork, calibrate=None) -> bool:
    """Whether there are training images: a run's own, or those of `calibrate`."""
    return calibrate is not None or network.data is not None


def calibration_images(network: LoadedNetwork, calibrate=None, count: int = 200) -> np.ndarray:
    """Returns up to `count` training images, evenly spaced: uint8 pixels (examples, size, size, channels).

    Args:
        network: what `open_network` gives; a run has its own training images.
        calibrate: `OwnImages`, `"digits"`, an .npz file, `"tfds:NAME"`, a folder of shards, or a folder of images with
            or without sub-folders. It replaces a run's own.

    Raises:
        ValueError: for a network without images of its own and without `calibrate`, or a source without images.
    """
    if not has_images(network, calibrate):
        raise ValueError(
            "int8 needs real images for its calibration; name a folder of them (--calibrate). Received: calibrate=None"
        )
    if isinstance(calibrate, OwnImages):
        return _spread(calibrate.pixels[::2], count)
    if files := loose_files(calibrate):
        if len(files) < 2:
            raise ValueError(
                "int8 needs at least two images, one for the calibration and one for the comparison. "
                f"Received: calibrate={str(calibrate)!r}, with {files[0]} only"
            )
        return _read(files[::2], network.preprocessing, count)
    data = network.data if calibrate is None else _data_options(network, calibrate)
    return sample(open_source(data.source, data.train_split), network.preprocessing, count)[0]


def check_images(network: LoadedNetwork, calibrate=None, count: int = 500) -> CheckImages:
    """Returns up to `count` held-out images.

    A run has its own held-out images, unless they were moved. For any other network they come from `calibrate`: its
    evaluation split, or every second file of a folder without splits (calibration uses the other files). `OwnImages`
    are used in the same way, for a run too. Without
    `calibrate`, a network for grey images gets handwritten digits and any other network crops of two photos, both
    without labels.
    """
    numbers = network.preprocessing
    if isinstance(calibrate, OwnImages):
        return _own(calibrate, network, count)
    if network.data is not None:
        try:
            own = open_source(network.data.source, network.data.evaluation_split)
            return CheckImages(*sample(own, numbers, count), _origin(own))
        except FileNotFoundError:  # The run was copied without its images.
            if calibrate is None:
                raise
    if files := loose_files(calibrate):
        return CheckImages(_read(files[1::2] or files, numbers, count), None, f"files of {calibrate}", (NO_LABELS,))
    if calibrate is None and len(numbers.mean) == 1:
        data = DataOptions(source=SourceOptions(kind="digits"))
        digits = sample(open_source(data.source, data.evaluation_split), numbers, count)[0]
        return CheckImages(digits, None, "handwritten digits of scikit-learn", (NO_LABELS, NOT_ITS_OWN))
    if calibrate is None:
        photos = "crops of scikit-learn's sample photos, china.jpg and flower.jpg"
        return CheckImages(sample_photos(numbers, count), None, photos, (NO_LABELS, NOT_ITS_OWN))
    data = _data_options(network, calibrate)
    source = open_source(data.source, data.evaluation_split)
    images, labels = sample(source, numbers, count)
    if len(source.classes) == len(network.labels):
        return CheckImages(images, labels, _origin(source))
    return CheckImages(images, None, _origin(source), (NO_LABELS,))


def _own(images: OwnImages, network: LoadedNetwork, count: int) -> CheckImages:
    """Returns every second image of a caller; calibration uses the others."""
    pixels, labels = _spread(images.pixels[1::2], count), None
    if images.labels is not None:
        labels = _spread(images.labels[1::2], count)
        classes = len(network.labels)
        if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"Labels should be whole numbers from 0 to {classes - 1}. "
                f"Received: {labels.dtype} from {labels.min()} to {labels.max()}"
            )
    unchecked = () if labels is not None else (NO_LABELS,)
    return CheckImages(pixels, labels, f"every second of {len(images.pixels):,} images that were passed", unchecked)


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """Returns up to `count` evenly spaced entries."""
    return values[np.linspace(0, len(values), min(count, len(values)), endpoint=False).astype(int)]


def sample_photos(preprocessing: Preprocessing, count: int) -> np.ndarray:
    """Returns up to `count` of 30 crops of the two colour photos in scikit-learn, prepared as for evaluation.

    From each photo come 3 squares with its whole height, 6 with two thirds and 6 with half of it.
    """
    from sklearn.datasets import load_sample_images

    crops = []
    for photo in load_sample_images().images:
        height, width, _ = photo.shape
        for side, rows in ((height, 1), (2 * height // 3, 2), (height // 2, 2)):
            for top in np.linspace(0, height - side, rows).astype(int):
                lefts = np.linspace(0, width - side, 3).astype(int)
                crops += [photo[top : top + side, left : left + side] for left in lefts]
    chosen = np.linspace(0, len(crops), min(count, len(crops)), endpoint=False).astype(int)
    transform = evaluation_transform(preprocessing)
    return np.stack([transform(tf.constant(crops[i])).numpy() for i in chosen])


def _origin(source: Source) -> str:
    return f"split {source.split!r} of {source.name}"


def sample(source: Source, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns up to `count` evenly spaced examples of a source, prepared as for evaluation."""
    count = min(count, source.size)
    if source.stream is None:
        chosen = np.linspace(0, source.size, count, endpoint=False).astype("int64")
        examples = tf.data.Dataset.from_tensor_slices(chosen).map(source.fetch)
    else:
        step = source.size // count
        examples = source.stream().filter(lambda index, image, label: index % step == 0)
        examples = examples.map(lambda index, image, label: (image, label)).take(count)
    transform = evaluation_transform(preprocessing)
    # A file that cannot be decoded is left out here. Training and evaluation count such files.
    examples = examples.map(lambda image, label: (transform(image), label)).ignore_errors()
    images, labels = zip(*examples.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def loose_files(calibrate) -> list[str]:
    """Returns the sorted image files of a folder without train and test splits; nothing for any other source."""
    folder = Path(str(calibrate or ""))
    if calibrate is None or not folder.is_dir() or _evaluation_split(folder) or any(folder.glob("*.tfrecord")):
        return []
    files = sorted(str(file) for file in folder.rglob("*") if file.is_file() and is_image_file(file.name))
    if not files:
        raise ValueError(
            f"The folder should hold images (.jpg .jpeg .png .gif .bmp .webp). Received: calibrate={str(calibrate)!r}"
        )
    return files


def _evaluation_split(folder: Path) -> str | None:
    splits = [name for name in ("test", "val", "validation") if (folder / name).is_dir()]
    return splits[0] if splits and (folder / "train").is_dir() else None


def _data_options(network: LoadedNetwork, calibrate) -> DataOptions:
    trained_on_digits = network.data is not None and network.data.source.kind == "digits"
    if str(calibrate) == "digits" and len(network.preprocessing.mean) > 1 and not trained_on_digits:
        raise ValueError(
            "The digits are grey and this network takes colour images; name a folder of photos. "
            f"Received: calibrate={str(calibrate)!r}"
        )
    return named_data(str(calibrate), "calibrate")


def named_data(text: str, argument: str) -> DataOptions:
    """Returns the options of the images that a word names.

    Args:
        text: `"digits"`, an .npz file, `"tfds:NAME"`, a folder of images, or a folder of shards.
        argument: the name of the user's argument, for the error.

    Raises:
        FileNotFoundError: for anything else.
    """
    kind, _, name = text.partition(":")
    if text == "digits":
        return DataOptions(source=SourceOptions(kind="digits"))
    if kind == "tfds" and name:
        return DataOptions(source=SourceOptions(kind="tfds", name=name))
    if text.endswith(".npz"):
        return DataOptions(source=SourceOptions(kind="arrays", path=text))
    if not Path(text).is_dir():
        raise FileNotFoundError(
            f"{argument} should be digits, an .npz file, a folder of images or shards, or tfds:NAME. "
            f"Received: {argument}={text!r}"
        )
    if any(Path(text).glob("*.tfrecord")):
        return DataOptions(source=SourceOptions(kind="tfrecord", path=text))
    source = SourceOptions(kind="folder", path=text)
    return DataOptions(source=source, evaluation_split=_evaluation_split(Path(text)) or "test")


def _read(files: list[str], preprocessing: Preprocessing, count: int) -> np.ndarray:
    chosen = np.linspace(0, len(files), min(count, len(files)), endpoint=False).astype(int)
    transform = evaluation_transform(preprocessing)
    examples = tf.data.Dataset.from_tensor_slices([files[i] for i in chosen])
    images = list(examples.map(lambda file: transform(tf.io.read_file(file))).ignore_errors().as_numpy_iterator())
    if not images:
        raise ValueError(f"None of {len(files)} image files can be decoded. The first one is {files[0]}")
    return np.stack(images)
