"""What a source is made of, in a few plain facts, so that a run that goes on can tell whether its data changed.

Nothing is read for it but names and sizes of files, and a part of what lies in memory; of a large folder every name
counts, and the size of one file in so many.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

# So many files or images are looked at, roughly.
LOOKED_AT = 1000


def of_files(paths: Iterable[str], labels: Iterable[str]) -> dict:
    """Returns facts of labelled files: sizes of single ones, how many each class has, and a sum of their names."""
    paths = list(paths)
    every = 1 << max(0, (len(paths) // LOOKED_AT).bit_length())
    files, counts, names = {}, {}, {}
    for path, label in zip(paths, labels, strict=True):
        name = f"{label}/{os.path.basename(path)}"
        number = zlib.crc32(name.encode())
        if number % every == 0:  # by its name, so that one file more or less leaves the choice of the others
            files[name] = os.path.getsize(path)
        counts[label] = counts.get(label, 0) + 1
        names[label] = zlib.crc32(name.encode(), names.get(label, 0))
    counts = {f"the number of files of class {label}": count for label, count in counts.items()}
    names = {f"the names of the files of class {label}": f"{number:08x}" for label, number in names.items()}
    return {f"the size of {name}": size for name, size in files.items()} | counts | names


def of_shards(paths: Iterable) -> dict:
    """Returns the sizes of a few large files."""
    return {f"the size of {Path(path).name}": os.path.getsize(path) for path in paths if os.path.exists(path)}


def of_arrays(images: np.ndarray, labels: np.ndarray) -> dict:
    """Returns sums of all labels and of some images."""
    some = images[:: max(1, len(images) // LOOKED_AT)]
    return {
        "the shape of the images": list(images.shape),
        "the labels": f"{zlib.crc32(np.ascontiguousarray(labels).tobytes()):08x}",
        "the pixels": f"{zlib.crc32(np.ascontiguousarray(some).tobytes()):08x}",
    }


def fingerprint(source) -> dict:
    """Returns the facts of an open source, ready for JSON."""
    facts = source.facts() if source.facts else {}
    return facts | {"the classes": list(source.classes), "the number of examples": source.size}


def first_difference(before: dict, now: dict) -> str | None:
    """Says in a few words what changed first between two fingerprints of a split, or `None`."""
    keys = [*before, *(key for key in now if key not in before)]
    for key in sorted(keys, key=lambda key: not key.startswith("the size of")):  # a file, where it is known
        if before.get(key) != now.get(key):
            values = [" ".join(str(facts.get(key, "nothing")).split())[:60] for facts in (now, before)]
            return f"{key} is {values[0]}, it was {values[1]}"
    return None
