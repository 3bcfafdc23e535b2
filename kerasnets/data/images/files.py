"""Reads, decodes and resizes image files in parallel, for prediction. A bad file gives an error in its place."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasnets.data.images.per_image import evaluation_transform, load_image
from kerasnets.registry import Preprocessing

# For fewer files, tracing a graph costs more than decoding them in parallel saves.
_FEW = 4
# Files that one element of the pipeline holds. It changes neither the order nor the pixels.
_CHUNK = 16


def load_files(paths: Sequence[Path], preprocessing: Preprocessing) -> Iterator[np.ndarray | Exception]:
    """Yields the pixels of each file as `load_image` gives them, in the order of `paths`.

    Returns:
        uint8 [S, S, C] for each file, RGB or grey; for a file that cannot be read or decoded, the error of
        `load_image`, which is not raised.
    """
    if len(paths) < _FEW:
        yield from (_load_one(path, preprocessing) for path in paths)
        return
    transform = evaluation_transform(preprocessing)

    def load(position, path):
        return position, transform(tf.io.read_file(path))

    names = np.array([os.fsencode(path) for path in paths], object)
    files = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), names))
    loaded = files.map(load, tf.data.AUTOTUNE, deterministic=True).ignore_errors()
    done = 0
    for positions, images in loaded.batch(_CHUNK).prefetch(4).as_numpy_iterator():
        for position, image in zip(positions, images, strict=True):
            # TensorFlow could not decode the files between the two. Pillow may, or it says why not.
            yield from (_load_one(path, preprocessing) for path in paths[done:position])
            yield image
            done = position + 1
    yield from (_load_one(path, preprocessing) for path in paths[done:])


def _load_one(path: Path, preprocessing: Preprocessing) -> np.ndarray | Exception:
    try:
        return np.asarray(load_image(path, preprocessing)).astype("uint8")
    except (OSError, ValueError) as error:
        return error
