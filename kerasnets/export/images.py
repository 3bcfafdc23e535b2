"""Real images for an export: training images to calibrate with, held-out ones to compare with."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.decode import is_image_file
from kerasnets.data.options import DataOptions, SourceOptions
from kerasnets.data.sources import Source, open_source
from kerasnets.data.transforms import evaluation_transform
from kerasnets.export.target import Target
from kerasnets.registry import Preprocessing


def calibration_images(target: Target, calibrate=None, count: int = 200) -> np.ndarray:
    """Returns up to `count` training images, spread evenly: uint8 pixels (examples, size, size, channels).

    Args:
        target: the network; a run has training images of its own.
        calibrate: `"digits"`, an .npz file, or a folder of images in sub-folders or without, in place of the run's.

    Raises:
        ValueError: for a network by name without `calibrate`, or a source without images.
    """
    if calibrate is None and target.data is None:
        raise ValueError("int8 is calibrated on real images; name a folder of them. Received: calibrate=None")
    if files := loose_files(calibrate):
        return _read(files[::2], target.preprocessing, count)
    data = target.data if calibrate is None else _data_options(calibrate)
    return sample(open_source(data.source, data.train_split), target.preprocessing, count)[0]


def check_images(target: Target, calibrate=None, count: int = 500) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns up to `count` held-out images as above, and their class indices or `None`.

    A run has held-out images of its own, if they are still there. For a network by name they come from `calibrate`:
    its evaluation split, or of a folder without splits every second file, which calibration leaves out. Without
    `calibrate` they are handwritten digits: real images, whatever the network was made for.
    """
    if target.data is not None:
        try:
            own = open_source(target.data.source, target.data.evaluation_split)
            return sample(own, target.preprocessing, count)
        except FileNotFoundError:  # The run came here without its images.
            if calibrate is None:
                raise
    if files := loose_files(calibrate):
        return _read(files[1::2] or files, target.preprocessing, count), None
    data = _data_options(calibrate or "digits")
    source = open_source(data.source, data.evaluation_split)
    images, labels = sample(source, target.preprocessing, count)
    return images, labels if calibrate is not None and len(source.classes) == len(target.labels) else None


def sample(source: Source, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns up to `count` examples of a source, spread evenly over it and prepared as for evaluation."""
    count = min(count, source.size)
    if source.stream is None:
        chosen = np.linspace(0, source.size, count, endpoint=False).astype("int64")
        examples = tf.data.Dataset.from_tensor_slices(chosen).map(source.fetch)
    else:
        step = source.size // count
        examples = source.stream().filter(lambda index, image, label: index % step == 0)
        examples = examples.map(lambda index, image, label: (image, label)).take(count)
    transform = evaluation_transform(preprocessing)
    # A file that cannot be decoded is left out here; training and evaluation are the ones to count it.
    examples = examples.map(lambda image, label: (transform(image), label)).ignore_errors()
    images, labels = zip(*examples.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def loose_files(calibrate) -> list[str]:
    """Returns the image files of a folder that is not divided into train and test, sorted; otherwise nothing."""
    folder = Path(str(calibrate or ""))
    if calibrate is None or not folder.is_dir() or _evaluation_split(folder):
        return []
    files = sorted(str(file) for file in folder.rglob("*") if file.is_file() and is_image_file(file.name))
    if not files:
        raise ValueError(
            f"The folder holds no image (.jpg .jpeg .png .gif .bmp .webp). Received: calibrate={str(calibrate)!r}"
        )
    return files


def _evaluation_split(folder: Path) -> str | None:
    splits = [name for name in ("test", "val", "validation") if (folder / name).is_dir()]
    return splits[0] if splits and (folder / "train").is_dir() else None


def _data_options(calibrate) -> DataOptions:
    text = str(calibrate)
    if text == "digits":
        return DataOptions(source=SourceOptions(kind="digits"))
    if text.endswith(".npz"):
        return DataOptions(source=SourceOptions(kind="arrays", path=text))
    if not Path(text).is_dir():
        raise ValueError(
            f"`calibrate` should be 'digits', an .npz file or a folder of images. Received: calibrate={text!r}"
        )
    source = SourceOptions(kind="folder", path=text)
    return DataOptions(source=source, evaluation_split=_evaluation_split(Path(text)))


def _read(files: list[str], preprocessing: Preprocessing, count: int) -> np.ndarray:
    chosen = np.linspace(0, len(files), min(count, len(files)), endpoint=False).astype(int)
    transform = evaluation_transform(preprocessing)
    examples = tf.data.Dataset.from_tensor_slices([files[i] for i in chosen])
    images = list(examples.map(lambda file: transform(tf.io.read_file(file))).ignore_errors().as_numpy_iterator())
    if not images:
        raise ValueError(f"None of {len(files)} image files can be decoded. The first is {files[0]}")
    return np.stack(images)
