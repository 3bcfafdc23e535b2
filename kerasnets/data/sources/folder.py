"""Images in one sub-folder per class."""

import os
from pathlib import Path

from kerasnets.data.errors import BadImages
from kerasnets.data.fingerprint import of_files
from kerasnets.data.images.suffixes import is_image_file
from kerasnets.data.sources.listing import list_images
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
    files = list_images(folder, classes, options.index)
    if unsplit and split != "all":
        files = files.part(test=split == "test")
    if not files:
        raise ValueError(f"{options.path} has too few images for this split. Received: split={split!r}")
    return Source(
        name=root.name,
        split=split,
        classes=files.classes,
        size=len(files),
        encoded=True,
        bad_images=BadImages(len(files)),
        image_name=files.__getitem__,
        fetch=files.reader(),
        labels=files.labels,
        paths=files,
        facts=lambda: of_files(files.folder, files.by_class(), len(files)),
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
