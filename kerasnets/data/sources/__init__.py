"""Where labelled images come from: scikit-learn's digits, folders, .npz arrays, tensorflow-datasets, TFRecord shards.

A source answers by index (`fetch`), so that any order can be drawn without touching what is skipped; a tensorflow-
datasets set and shards (sources/shards.py) are read as a stream instead (`stream`). Either way an image is a file's bytes or
uint8 pixels.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.bad_images import BadImages
from kerasnets.data.fingerprint import of_arrays, of_files, of_shards
from kerasnets.data.images.decode import is_image_file
from kerasnets.data.labels import DIGITS
from kerasnets.recipe.data_options import SourceOptions
from kerasnets.registry import did_you_mean


@dataclasses.dataclass(frozen=True)
class Source:
    """A split of labelled images.

    Attributes:
        name, split: what was opened.
        classes: the labels, in the order of the network's outputs.
        size: the number of examples.
        fetch: int64 index -> (image, int32 label), graph operations; None for a stream.
        stream: (seed=None) -> finite tf.data.Dataset of (int64 index, image, int32 label), in the source's own order;
            a seed (integer [2]) may change the order of its shards; or None.
        order: (seed=None) -> the indices of `stream` in the same order, for which nothing is read.
        encoded: True when an image is a scalar string (a file's bytes), False when it is uint8 [height, width,
            channels].
        image_name: index -> the name of an image in messages (a file's path).
        paths: the files of a folder, otherwise ().
        shuffle_buffer: how many examples of a stream are mixed at a time.
        bad_images: collects what could not be decoded.
        memory: holds the files once they are to be kept (cache.py).
        facts: () -> what the split is made of, by name (fingerprint.py).
    """

    name: str
    split: str
    classes: tuple[str, ...]
    size: int
    encoded: bool
    bad_images: BadImages
    image_name: Callable[[int], str]
    fetch: Callable | None = None
    stream: Callable | None = None
    order: Callable | None = None
    paths: tuple[str, ...] = ()
    shuffle_buffer: int = 10_000
    memory: list = dataclasses.field(default_factory=list, repr=False, compare=False)
    facts: Callable[[], dict] | None = None


def open_source(options: SourceOptions, split: str) -> Source:
    """Opens one split of a source.

    Args:
        options: which source.
        split: "train" or "test" for digits; a sub-folder's name for a folder ("train", "test" or "all" when it has no
            splits); `x_<split>` for arrays; any split string of tensorflow-datasets ("train[:80%]"); a split of the
            index for shards.

    Raises:
        FileNotFoundError: when the folder or file does not exist.
        ValueError: for an unknown split, a folder without images, an empty class folder, arrays that do not fit, a
            damaged shard.
    """
    from kerasnets.data.sources.shards import open_shards  # which needs `Source`

    openers = {"digits": _open_digits, "folder": _open_folder, "arrays": _open_arrays}
    openers |= {"tfds": _open_tfds, "tfrecord": open_shards}
    return openers[options.kind](options, split)


def _from_arrays(name: str, split: str, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Source:
    pixels, numbers = tf.constant(images), tf.constant(labels.astype("int32"))
    return Source(
        name=name,
        split=split,
        classes=classes,
        size=len(images),
        encoded=False,
        bad_images=BadImages(len(images)),
        image_name=lambda index: f"{name}/{split}/{index}",
        fetch=lambda index: (tf.gather(pixels, index), tf.gather(numbers, index)),
        facts=lambda: of_arrays(images, labels),
    )


def _pad(images: np.ndarray, border: int) -> np.ndarray:
    """Adds `border` zero pixels on each side of uint8 images [N, H, W, C]."""
    return np.pad(images, ((0, 0), (border, border), (border, border), (0, 0))) if border else images


def _open_digits(options: SourceOptions, split: str) -> Source:
    """1,797 handwritten digits, 8x8x1; 0-16 becomes 0-255. The test split is a stratified fifth, always the same."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    check_split(split, ("train", "test"), "digits")
    digits = load_digits()
    images = np.round(digits.images * (255.0 / 16.0)).astype("uint8")[..., np.newaxis]
    train, test = train_test_split(np.arange(len(images)), test_size=0.2, stratify=digits.target, random_state=0)
    rows = np.sort(train if split == "train" else test)
    return _from_arrays("digits", split, _pad(images[rows], options.pad), digits.target[rows], DIGITS)


def _open_arrays(options: SourceOptions, split: str) -> Source:
    """An .npz file: uint8 images [N, H, W] or [N, H, W, C] as `x_<split>`, whole numbers [N] as `y_<split>`."""
    path = Path(options.path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no such .npz file. Received: path={options.path!r}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files if key[:2] in ("x_", "y_") or key == "classes"}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{options.path} is not a readable .npz file ({error}). Received: path={options.path!r}"
        ) from None
    splits = [key[2:] for key in found if key.startswith("x_") and f"y_{key[2:]}" in found]
    check_split(split, splits, options.path)
    images, labels = found[f"x_{split}"], found[f"y_{split}"].reshape(-1)
    images = images[..., np.newaxis] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "Images must be uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3]. "
            f"Received: x_{split} {images.dtype} {found[f'x_{split}'].shape}"
        )
    if len(images) != len(labels) or not len(images) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(
            "There must be one whole number >= 0 per image as its label. "
            f"Received: {len(images)} images, {len(labels)} labels {labels.dtype} in {options.path}"
        )
    count = 1 + max(int(found[f"y_{name}"].max()) for name in splits)
    classes = tuple(map(str, found.get("classes", range(count))))
    return _from_arrays(path.stem, split, _pad(images, options.pad), labels, classes)


def _open_folder(options: SourceOptions, split: str) -> Source:
    """Class sub-folders of image files; classes and files are in alphabetical order.

    They lie in `path/split`, or, for a folder without splits, in `path` itself: then "all" is everything, "test" every
    fifth file of each class and "train" the rest.
    """
    root = Path(options.path)
    splits, whole = folder_splits(root)
    folder = root if whole else root / split
    if whole or not folder.is_dir():
        check_split(split, (*splits, "all") if whole else splits, options.path)
    classes = _folders(folder)
    if not classes:
        raise ValueError(
            f"A split's folder holds one sub-folder per class; {folder} holds none. Received: split={split!r}"
        )
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = _image_files(folder / name)
        if whole and split != "all":
            files = [file for number, file in enumerate(files) if (number % 5 == 4) == (split == "test")]
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise ValueError(f"{options.path} has too few images for this split. Received: split={split!r}")
    names, numbers = tf.constant(paths), tf.constant(labels, tf.int32)
    return Source(
        name=root.name,
        split=split,
        classes=tuple(classes),
        size=len(paths),
        encoded=True,
        bad_images=BadImages(len(paths)),
        image_name=lambda index: paths[index],
        fetch=lambda index: (tf.io.read_file(tf.gather(names, index)), tf.gather(numbers, index)),
        paths=tuple(paths),
        facts=lambda: of_files(paths, (classes[label] for label in labels)),
    )


def folder_splits(root: Path) -> tuple[list[str], bool]:
    """Returns the splits of an image folder, and whether they are ours: class folders that are not in a split's folder.

    Raises:
        FileNotFoundError: when there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"There is no such folder. Received: path={str(root)!r}")
    folders = _folders(root)
    whole = any(is_image_file(file.name) for folder in folders for file in os.scandir(root / folder))
    return (["train", "test"] if whole else folders), whole


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _image_files(folder: Path) -> list[str]:
    files = sorted(file.path for file in os.scandir(folder) if file.is_file() and is_image_file(file.name))
    if not files:
        raise ValueError(f"The class folder {folder} holds no image (.jpg .jpeg .png .gif .bmp .webp).")
    return files


def _open_tfds(options: SourceOptions, split: str) -> Source:
    """A tensorflow-datasets image set, its images left encoded until the pipeline needs them."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(options.name, data_dir=options.data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        raise ValueError(f"tensorflow-datasets has no such data set. Received: name={options.name!r}") from None
    if options.download:
        _prepare(builder, options.name)
    elif not builder.is_prepared():
        raise FileNotFoundError(
            f"{options.name} is not prepared in {builder.data_dir}. Set `download: true` to prepare it."
        )
    image_key, label_key, features = options.image_key, options.label_key, builder.info.features
    for key, kind in ((image_key, tfds.features.Image), (label_key, tfds.features.ClassLabel)):
        if not isinstance(dict(features).get(key), kind):
            raise ValueError(f"{options.name} has no {kind.__name__} called {key!r}; it has {', '.join(features)}.")
    for part in split.split("+"):
        check_split(part.split("[")[0].strip(), (*builder.info.splits, "all"), options.name)
    decoders = {image_key: tfds.decode.SkipDecoding()}
    read = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)

    def stream(seed=None):
        examples = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders, read_config=read)
        examples = examples.enumerate()
        return examples.map(lambda index, row: (index, row[image_key], tf.cast(row[label_key], tf.int32)))

    size = builder.info.splits[split].num_examples
    files = sorted({str(part.filename) for part in builder.info.splits[split].file_instructions})
    return Source(
        name=options.name,
        split=split,
        classes=tuple(features[label_key].names),
        size=size,
        encoded=True,
        bad_images=BadImages(size),
        image_name=lambda index: f"{options.name}/{split}/{index}",
        stream=stream,
        order=lambda seed=None: tf.data.Dataset.range(size),
        shuffle_buffer=options.shuffle_buffer,
        facts=lambda: {"the version": str(builder.version)} | of_shards(files),
    )


def _prepare(builder, name: str) -> None:
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # archives, ImageNet's for one, that tensorflow-datasets may not fetch itself
        raise FileNotFoundError(f"{name} cannot be prepared: {' '.join(str(error).split())}") from None
    except ImportError as error:
        raise ValueError(
            f"To prepare {name}, tensorflow-datasets needs a package: pip install {error.name}. Received: name={name!r}"
        ) from None


def check_split(split: str, allowed, where: str) -> None:
    """Refuses a split that is none of `allowed`, and says which is meant."""
    if split not in allowed:
        raise ValueError(
            f"Unknown split of {where}; it has {', '.join(allowed) or 'none'}.{did_you_mean(split, allowed)} "
            f"Received: split={split!r}"
        )
