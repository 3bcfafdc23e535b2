"""A fingerprint of a source in a few plain facts, with which a resumed run finds out whether its data changed.

Only names and sizes of files are read, and a sample of arrays in memory. In a large folder every name counts, and the
sizes of a sample of the files.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

# The approximate number of files or images in a sample.
SAMPLE = 1000


def of_files(folder: str, classes: Iterable[tuple[str, list[bytes]]], count: int) -> dict:
    """Returns facts of labelled files: sizes of a sample, and for each class the number and a checksum of the names.

    Args:
        folder: holds the class folders.
        classes: each class and the names of its files.
        count: the number of all files.
    """
    every = 1 << max(0, (count // SAMPLE).bit_length())
    files, counts, sums = {}, {}, {}
    for label, names in classes:
        prefix = os.fsencode(label) + b"/"
        names = [prefix + name for name in names]
        # The name decides, so that adding a file leaves the rest of the sample as it is.
        for name in map(os.fsdecode, (name for name in names if zlib.crc32(name) % every == 0)):
            files[f"the size of {name}"] = os.path.getsize(os.path.join(folder, name))
        counts[f"the number of files of class {label}"] = len(names)
        sums[f"the names of the files of class {label}"] = f"{zlib.crc32(b''.join(names)):08x}"
    return files | counts | sums


def of_shards(paths: Iterable) -> dict:
    """Returns the sizes of a few large files."""
    return {f"the size of {Path(path).name}": os.path.getsize(path) for path in paths if os.path.exists(path)}


def of_arrays(images: np.ndarray, labels: np.ndarray) -> dict:
    """Returns checksums of all labels and of a sample of the images."""
    sample = images[:: max(1, len(images) // SAMPLE)]
    return {
        "the shape of the images": list(images.shape),
        "the labels": f"{zlib.crc32(np.ascontiguousarray(labels).tobytes()):08x}",
        "the pixels": f"{zlib.crc32(np.ascontiguousarray(sample).tobytes()):08x}",
    }


def fingerprint(source) -> dict:
    """Returns the facts of an open source, ready for JSON."""
    facts = source.facts() if source.facts else {}
    return facts | {"the classes": list(source.classes), "the number of examples": source.size}


def first_difference(before: dict, now: dict) -> str | None:
    """Says in a few words in which fact two fingerprints of a split differ first; `None` when they are equal."""
    keys = [*before, *(key for key in now if key not in before)]
    for key in sorted(keys, key=lambda key: not key.startswith("the size of")):  # A file says most.
        if before.get(key) != now.get(key):
            values = [" ".join(str(facts.get(key, "nothing")).split())[:60] for facts in (now, before)]
            return f"{key} is {values[0]}, it was {values[1]}"
    return None
