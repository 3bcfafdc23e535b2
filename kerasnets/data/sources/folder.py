"""Images in one sub-folder per class."""

import os
from pathlib import Path

import tensorflow as tf

from kerasnets.data.errors import BadImages
from kerasnets.data.fingerprint import of_files
from kerasnets.data.images.suffixes import is_image_file
from kerasnets.data.sources.source import Source, check_split
from kerasnets.recipe.data_options import SourceOptions


def open_folder(options: SourceOptions, split: str) -> Source:
    """Opens class sub-folders of image files; classes and files are in alphabetical order.

    The class folders stand in `path/split`, or in `path` itself when the folder has no splits. Then "all" is every
    file, "test" every fifth file of each class, and "train" the rest.
    """
    root = Path(options.path)
    splits, unsplit = folder_splits(root)
    folder = root if unsplit else root / split
    if unsplit or not folder.is_dir():
        check_split(split, (*splits, "all") if unsplit else splits, options.path)
    classes = _folders(folder)
    if not classes:
        raise ValueError(
            f"The folder of a split needs one sub-folder per class; {folder} has none. Received: split={split!r}"
        )
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = _image_files(folder / name)
        if unsplit and split != "all":
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
    """Returns the splits of an image folder, and whether its class folders stand in it directly, without split folders.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"There is no such folder. Received: path={str(root)!r}")
    folders = _folders(root)
    unsplit = any(is_image_file(file.name) for folder in folders for file in os.scandir(root / folder))
    return (["train", "test"] if unsplit else folders), unsplit


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _image_files(folder: Path) -> list[str]:
    files = sorted(file.path for file in os.scandir(folder) if file.is_file() and is_image_file(file.name))
    if not files:
        raise ValueError(
            f"The class folder {folder} holds no image (.jpg .jpeg .png .gif .bmp .webp). Add images or remove it."
        )
    return files
