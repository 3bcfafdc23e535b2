"""Image files and small data sets for tests, written by Pillow."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

GREY = Preprocessing(size=16, crop_fraction=1.0, mean=(0.0,), std=(255.0,))
RGB = Preprocessing(size=24, crop_fraction=0.875)


PHOTO_RECIPE = """
model: {name: lenet5_modern}
data:
  source: {kind: folder, path: DATA}
  evaluation_split: train
  augmentation: {random_resized_crop: {}, random_flip: horizontal}
batch_size: 10
epochs: 2
optimizer: {name: sgd, learning_rate: 0.01}
"""


def photo(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Returns a random image, uint8 [height, width, 3]; it is smooth, as photographs are, so that JPEG keeps it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype="uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC))


def encode(pixels: np.ndarray, kind: str, **options) -> bytes:
    """Returns the bytes of an image file in the format `kind` of Pillow."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def write_folder(root, per_class: int = 10, split: str = "train"):
    """Writes two classes of `per_class` files each, in five formats in turn, and returns `root`."""
    for number, label in enumerate(("cat", "dog")):
        folder = root / split / label
        folder.mkdir(parents=True)
        for i in range(per_class):
            suffix, kind = [("jpg", "JPEG"), ("png", "PNG"), ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP")][i % 5]
            (folder / f"{i:02}.{suffix}").write_bytes(encode(photo(100 * number + i), kind))
    return root


def data_options(augmentation=None, bad_image_limit=0.01, **source) -> DataOptions:
    return DataOptions(source=source, augmentation=augmentation or {}, bad_image_limit=bad_image_limit)


def write_photo_recipe(folder) -> str:
    """Writes photos and a recipe that trains on them; returns the path of the recipe."""
    write_folder(folder / "data")
    (folder / "recipe.yaml").write_text(PHOTO_RECIPE.replace("DATA", str(folder / "data")))
    return str(folder / "recipe.yaml")


def write_litert_js(folder: Path) -> Path:
    """Writes empty files with the names of those of LiteRT.js, and returns `folder`."""
    for package in ("core", "wasm-utils"):
        (folder / package / "dist").mkdir(parents=True)
        (folder / package / "dist" / "index.js").touch()
    (folder / "core" / "wasm").mkdir()
    for name in ("litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal"):
        for end in (".js", ".wasm"):
            (folder / "core" / "wasm" / f"{name}{end}").touch()
    return folder
