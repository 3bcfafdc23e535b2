"""The names of the image files in class folders, and an index file that saves a large folder from being scanned again.

A folder may hold 14 million files in 21,841 classes. One Python string for each would take 1.5 GB, so all names are
kept in one piece of bytes, and the name of a class once. TensorFlow gets the same bytes and joins a path when it reads
the file.

The index file holds, for each class folder, the names in it and the time of its last change. A class folder whose time
has changed is scanned again; adding, removing and renaming a file all change it. The index is an .npz file without
Python objects.
"""

import contextlib
import dataclasses
import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasnets.data.images.suffixes import is_image_file
from kerasnets.recipe.cache import home

# A folder with so many files gets an index in the cache.
LARGE = 100_000
# So many names are one string of TensorFlow, which is copied to read one of them.
BLOCK = 256
# Scanning waits for the disk or the network, so more threads than cores help.
THREADS = 16
# File systems have coarse clocks: a folder that changed so shortly before its scan may change again unnoticed.
UNSURE_NS = 2_000_000_000
FORMAT = "kerasnets folder index 1"


class ClassFiles(NamedTuple):
    """The image files of one class folder.

    Attributes:
        names: their names, sorted, each with a zero byte behind it.
        count: how many there are.
        changed: when the folder last changed, in ns; 0 when that is not known for sure.
    """

    names: bytes | memoryview
    count: int
    changed: int


@dataclasses.dataclass(frozen=True, eq=False)
class Listing(Sequence):
    """The paths of the image files of class folders, in order; a path is joined when it is asked for.

    Attributes:
        folder: holds the class folders.
        classes: their names, sorted.
        counts: int64 [classes], the number of files of each class.
        names: the names of all files, class after class, each with a zero byte behind it.
        ends: integer [files], the place behind each name's zero byte.
    """

    folder: str
    classes: tuple[str, ...]
    counts: np.ndarray
    names: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, folder: Path, classes: Sequence[str], files: Iterable[ClassFiles]):
        """Joins the files of the classes. Each of them is let go before the next one comes."""
        names, ends, counts = bytearray(), [], []
        for each in files:
            kind = np.int32 if len(names) + len(each.names) < 2**31 else np.int64
            ends.append((np.flatnonzero(np.frombuffer(each.names, np.uint8) == 0) + (len(names) + 1)).astype(kind))
            counts.append(each.count)
            names += each.names
        counts = np.array(counts, np.int64)
        return cls(os.fspath(folder), tuple(classes), counts, bytes(names), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        label = int(np.searchsorted(np.cumsum(self.counts), index, side="right"))
        name = self.names[self.ends[index - 1] if index else 0 : self.ends[index] - 1]
        return os.path.join(self.folder, self.classes[label], os.fsdecode(name))

    def __iter__(self) -> Iterator[str]:
        for name, files in self.by_class():
            folder = os.path.join(self.folder, name)
            yield from (os.path.join(folder, os.fsdecode(file)) for file in files)

    def labels(self) -> np.ndarray:
        """Returns the label of every file, int32."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int32), self.counts)

    def by_class(self) -> Iterator[tuple[str, list[bytes]]]:
        """Yields each class and the names of its files."""
        start = 0
        for name, last in zip(self.classes, np.cumsum(self.counts) - 1, strict=True):
            stop = int(self.ends[last]) if last >= 0 else 0
            yield name, self.names[start:stop].split(b"\0")[:-1]
            start = stop

    def part(self, test: bool) -> "Listing":
        """Returns every fifth file of each class, or the rest."""
        parts = []
        for _, files in self.by_class():
            held_out = files[4::5]
            del files[4::5]
            kept = held_out if test else files
            parts.append(ClassFiles(b"".join(name + b"\0" for name in kept), len(kept), 0))
        return Listing.of(Path(self.folder), self.classes, parts)

    def reader(self):
        """Returns index -> (bytes of the file, label) as graph operations; the index is a scalar.

        A graph would hold a single string as a constant, with several copies of it. The names are therefore an array of
        strings, each of them those of `BLOCK` files.
        """
        stops = self.ends[np.minimum(np.arange(BLOCK, len(self) + BLOCK, BLOCK), len(self)) - 1]
        starts = np.concatenate([[0], stops[:-1]]).astype(stops.dtype)
        with tf.device("CPU:0"):
            blocks = tf.constant([self.names[start:stop] for start, stop in zip(starts, stops, strict=True)])
            starts, ends, labels = tf.constant(starts), tf.constant(self.ends), tf.constant(self.labels())
            classes = tf.constant([os.fsencode(os.path.join(self.folder, name)) for name in self.classes])

        def fetch(index):
            block, label, stop = index // BLOCK, tf.gather(labels, index), tf.gather(ends, index) - 1
            start = tf.where(index > 0, tf.gather(ends, tf.maximum(index - 1, 0)), 0)
            within = start - tf.gather(starts, block)
            name = tf.strings.substr(tf.gather(blocks, block), within, stop - start)
            return tf.io.read_file(tf.strings.join([tf.gather(classes, label), name], os.sep)), label

        return fetch


def list_images(folder: Path, classes: Sequence[str], index: str | None = None) -> Listing:
    """Lists the image files of class folders; a class folder that is in the index and has not changed is not scanned.

    Args:
        folder: holds the class folders.
        classes: the names of the class folders.
        index: the index file, which is read and kept up to date. By default it is in the cache, and written for `LARGE`
            folders only.

    Raises:
        ValueError: a class folder holds no image, or `index` is not an index.
        OSError: a folder cannot be read, or `index` not written.
    """
    path = Path(index) if index else _cached_index(folder)
    known = _read(path)

    def files_of(name: str) -> tuple[ClassFiles, bool]:
        place, before = folder / name, known.get(name)
        if before and before.changed and before.changed == os.stat(place).st_mtime_ns:
            return before, False
        return _scan(place), True

    changed, stale = [], [len(known) != len(classes)]

    def noted(found) -> Iterator[ClassFiles]:
        for each, scanned in found:
            changed.append(each.changed)
            stale.append(scanned)
            yield each
        known.clear()

    with ThreadPoolExecutor(THREADS) as pool:
        listing = Listing.of(folder, classes, noted(pool.map(files_of, classes)))
    if any(stale) and (index or len(listing) >= LARGE):
        with contextlib.nullcontext() if index else contextlib.suppress(OSError):  # a read-only cache is no error
            _write(path, listing, changed)
    return listing


def _scan(folder: Path) -> ClassFiles:
    begun, changed = time.time_ns(), os.stat(folder).st_mtime_ns
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_image_file(entry.name) and entry.is_file())
    if not names:
        raise ValueError(
            f"The class folder {folder} holds no image (.jpg .jpeg .png .gif .bmp .webp). Add images or remove it."
        )
    sure = changed < begun - UNSURE_NS
    return ClassFiles(os.fsencode("\0".join(names) + "\0"), len(names), changed if sure else 0)


def _cached_index(folder: Path) -> Path:
    """Returns the place of the index of a folder in the cache."""
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return home() / "folders" / f"{folder.resolve().parent.name}-{folder.name}-{digest}.npz"


def _read(path: Path) -> dict[str, ClassFiles]:
    """Returns the files of each class in an index file, or nothing when there is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["format"]) != FORMAT:
                raise ValueError(f"its format is {str(arrays['format'])[:40]!r}")
            classes = os.fsdecode(arrays["classes"].tobytes()).split("\0")[:-1]
            sizes, counts, changed, names = (arrays[key] for key in ("sizes", "counts", "changed", "names"))
        stops, names = np.cumsum(sizes).tolist(), memoryview(names)
        parts = (names[stop - size : stop] for stop, size in zip(stops, sizes.tolist(), strict=True))
        rows = zip(parts, counts.tolist(), changed.tolist(), strict=True)
        return dict(zip(classes, starmap(ClassFiles, rows), strict=True))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not an index of an image folder ({str(error)[:80]}). Delete it. Received: index={str(path)!r}"
        ) from error


def _write(path: Path, listing: Listing, changed: Sequence[int]) -> None:
    """Writes an index file; the old one stays until the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "format": np.array(FORMAT),
        "classes": np.frombuffer(os.fsencode("".join(name + "\0" for name in listing.classes)), np.uint8),
        "sizes": np.diff(listing.ends[np.cumsum(listing.counts) - 1], prepend=0).astype(np.int64),
        "counts": listing.counts,
        "changed": np.array(changed, np.int64),
        "names": np.frombuffer(listing.names, np.uint8),
    }
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
