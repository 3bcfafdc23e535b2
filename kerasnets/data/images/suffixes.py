"""The names of image files. Nothing heavy is imported here, because commands use it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def is_image_file(name: str) -> bool:
    """Returns whether the ending of a file name is that of a format that can be decoded."""
    return name.lower().endswith(_SUFFIXES)


def image_files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Yields the files among `paths`, and the image files in its folders and their sub-folders, sorted by name."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if is_image_file(file.name) and file.is_file())
        else:
            yield path
