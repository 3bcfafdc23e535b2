"""Real image files and small data sets for the tests of the data room, written by Pillow."""

import io

import numpy as np
from PIL import Image

from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

GREY = Preprocessing(size=16, crop_fraction=1.0, mean=(0.0,), std=(255.0,))
RGB = Preprocessing(size=24, crop_fraction=0.875)


def photo(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """A smooth random picture, uint8 [height, width, 3]; smooth, because JPEG is for photographs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype="uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC))


def encode(pixels: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def write_folder(root, per_class: int = 10, split: str = "train"):
    """Two classes of `per_class` files each, in five formats in turn."""
    for number, label in enumerate(("cat", "dog")):
        folder = root / split / label
        folder.mkdir(parents=True)
        for i in range(per_class):
            suffix, kind = [("jpg", "JPEG"), ("png", "PNG"), ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP")][i % 5]
            (folder / f"{i:02}.{suffix}").write_bytes(encode(photo(100 * number + i), kind))
    return root


def data_options(augmentation=None, bad_image_limit=0.01, **source) -> DataOptions:
    return DataOptions(source=source, augmentation=augmentation or {}, bad_image_limit=bad_image_limit)
