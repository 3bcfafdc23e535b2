"""The files of an export: where they go, and the labels and the description in them.

A TFLite or ONNX file holds both in itself (`tflite_metadata.py`, `onnx_metadata.py`). A SavedModel has `labels.txt` and
`network.json` in its folder `assets.extra`. The description holds the SHA-256 of what it describes.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasnets.exporters.onnx_metadata import read_description
from kerasnets.exporters.tflite_metadata import model_part, read_inside
from kerasnets.registry import Preprocessing

# Form -> the ending of its file's default name.
FORMS = {
    "saved-model": "",
    "tflite": ".tflite",
    "tflite-sparse": "_sparse.tflite",
    "tflite-float16": "_float16.tflite",
    "tflite-dynamic": "_dynamic.tflite",
    "tflite-int8": "_int8.tflite",
    "tflite-int16x8": "_int16x8.tflite",
    "tflite-full-integer": "_full_integer.tflite",
    "onnx": ".onnx",
    "web": "_web",
    "web-int8": "_int8_web",
}
# A page for browsers -> the form of its file.
PAGES = {"web": "tflite", "web-int8": "tflite-int8"}
PAGE_NETWORK = "network.tflite"
# The forms that compute in integers and are calibrated with images. They take uint8 pixels; int16x8 takes float32,
# because TFLite does not convert uint8 to int16 inside a file.
CALIBRATED = ("tflite-int8", "tflite-int16x8", "tflite-full-integer")
QUANTISED = ("tflite-int8", "tflite-full-integer")


class Runner(NamedTuple):
    """A loaded file.

    Attributes:
        run: pixels 0-255 (batch, size, size, channels) -> probabilities (batch, classes).
        classes: the number of its classes.
    """

    run: Callable[[np.ndarray], np.ndarray]
    classes: int


class ExportError(RuntimeError):
    """An export that failed or does not meet its bounds; `report` holds the measurements, or is `None`."""

    def __init__(self, message: str, report: dict | None = None):
        super().__init__(message)
        self.report = report


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def is_saved_model(path: str | Path) -> bool:
    """Whether `path` is the folder of a SavedModel, or one of versions `1/`, `2/`, ... as servers have it."""
    return (version_folder(path) / "saved_model.pb").is_file()


def is_page(path: str | Path) -> bool:
    """Whether `path` is the folder of a page for browsers."""
    return (Path(path) / PAGE_NETWORK).is_file() and (Path(path) / "page.js").is_file()


def version_folder(path: str | Path) -> Path:
    """Returns the folder of the newest version in a folder of versions, and any other path as it is."""
    path = Path(path)
    if not path.is_dir() or (path / "saved_model.pb").is_file():
        return path
    versions = [entry for entry in path.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    return max(versions, key=lambda entry: int(entry.name), default=path)


def final_path(output, name: str, form: str) -> Path:
    """Returns the final path of an export.

    Raises:
        ValueError: if something is there already that is not an export of that form.
    """
    place = Path(output) if output is not None else Path("saved_models") / (name + FORMS[form])
    if form == "saved-model" or form in PAGES:
        is_older = is_page if form in PAGES else is_saved_model
        if place.is_file() or (place.is_dir() and any(place.iterdir()) and not is_older(place)):
            raise ValueError(
                f"This export needs its own folder; this one holds something else. Received: output={str(place)!r}"
            )
        return place
    if place.is_dir():
        place = place / (name + FORMS[form])
    ending = Path(f"name{FORMS[form]}").suffix
    if place.suffix != ending:
        raise ValueError(f"The name of this file should end in {ending}. Received: output={str(place)!r}")
    return place


def temporary_folder(place: Path) -> tempfile.TemporaryDirectory:
    """Makes a temporary folder beside the final path, on the same disk, so that moving a file is a rename."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent)
    except OSError as error:
        raise OSError(f"The folder {str(place.parent)!r} cannot be written: {error.strerror}") from None


def move_into_place(draft: Path, place: Path, folder: Path) -> None:
    """Moves a checked export to its final path. After an error or Ctrl-C the older export is back.

    Args:
        draft: the folder or the file.
        place: the final path.
        folder: a folder on the same disk, where an older SavedModel is kept until the new one is in its place.
    """
    if not place.is_dir():
        os.replace(draft, place)
        return
    older = folder / f"older-{place.name}"
    try:
        os.replace(place, older)
        os.replace(draft, place)
    except BaseException:
        if older.exists():
            os.replace(older, place)
        raise


def metadata_paths(path: str | Path) -> tuple[Path, Path]:
    """Returns the paths of the labels and the description of a SavedModel."""
    extra = version_folder(path) / "assets.extra"
    return extra / "labels.txt", extra / "network.json"


def sha256_of(path: str | Path) -> str:
    """Returns the SHA-256 of the model in a file, or of the names and contents of a SavedModel's files."""
    path, whole = version_folder(path), hashlib.sha256()
    if path.suffix == ".onnx":
        return read_description(path)[1]
    if not path.is_dir():
        return hashlib.sha256(model_part(path.read_bytes())).hexdigest()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        if "assets.extra" not in file.relative_to(path).parts:
            with open(file, "rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            whole.update(f"{file.relative_to(path).as_posix()} {found}\n".encode())
    return whole.hexdigest()


def check_labels(labels: tuple[str, ...], classes: int, origin) -> None:
    """Raises ValueError if the number of labels is not the number of classes.

    Args:
        origin: the network's name or file, for the error.
    """
    if len(labels) != classes:
        raise ValueError(
            f"Each class should have a label. {origin} has {len(labels)} labels and the network {classes} classes."
        )


def describe(name: str, form: str, preprocessing: Preprocessing, labels: tuple[str, ...], weights: str) -> dict:
    """Returns the description of an export, as JSON values.

    Args:
        name: the network's name.
        form: one of `FORMS`.
        weights: the SHA-256 of the weights, as `weights_sha256` gives it.
    """
    size, channels = preprocessing.size, len(preprocessing.mean)
    batch = None if form in ("saved-model", "onnx") else 1
    return {
        "model": name,
        "description": f"{name}, an image classifier of {len(labels)} classes, exported by kerasnets as {form}.",
        "format": form,
        "weights_sha256": weights,
        "input": {
            "shape": [batch, size, size, channels],
            "dtype": "uint8" if form in QUANTISED else "float32",
            "pixels": "0-255, " + ("grey" if channels == 1 else "RGB order"),
            "normalisation": "inside the network",
        },
        "output": {
            "shape": [batch, len(labels)],
            "dtype": "uint8" if form == "tflite-full-integer" else "float32",
            "values": "probabilities",
        },
        "preprocessing": dataclasses.asdict(preprocessing),
        "labels": list(labels),
    }


def weights_sha256(model) -> str:
    """Returns the SHA-256 of the weights of a Keras model, in their order. It tells which model a file comes from."""
    whole = hashlib.sha256()
    for weight in model.get_weights():
        whole.update(np.ascontiguousarray(weight).tobytes())
    return whole.hexdigest()


def write_metadata(path: str | Path, about: dict) -> None:
    """Writes the labels and the description of a SavedModel into its folder."""
    labels_path, json_path = metadata_paths(path)
    labels_path.parent.mkdir(exist_ok=True)
    labels_path.write_text("".join(f"{label}\n" for label in about["labels"]), encoding="utf-8")
    text = json.dumps(about | {"sha256": sha256_of(path)}, indent=2, ensure_ascii=False)
    json_path.write_text(text + "\n", encoding="utf-8")


def read_metadata(path: str | Path) -> tuple[Preprocessing, tuple[str, ...]]:
    """Returns the preprocessing and the labels of an exported file; errors are those of `read_about`."""
    what = read_about(path)
    return Preprocessing.from_plain(what["preprocessing"]), tuple(what["labels"])


def read_about(path: str | Path) -> dict:
    """Returns the description of an exported file: what `describe` gives, and `sha256`.

    Raises:
        FileNotFoundError: if a SavedModel has no description.
        ValueError: if there is no description that can be read, or it describes another file.
    """
    json_path = metadata_paths(path)[1]
    try:
        if Path(path).is_dir():
            what = json.loads(json_path.read_text(encoding="utf-8"))
        else:
            what = read_description(path)[0] if Path(path).suffix == ".onnx" else read_inside(path)
        Preprocessing.from_plain(what["preprocessing"])
        tuple(what["labels"])
        described = what["sha256"]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} needs {json_path} for the labels and the image size. Copy it too, or export again."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged or was not exported by kerasnets: it has no labels and no image size. Export it again."
        ) from error
    if described != sha256_of(path):
        raise ValueError(f"{path} is damaged: its description is that of another file. Export it again.")
    return what


def zipped_bytes(path: Path) -> int:
    """Returns the size of an exported file, or of all files of a folder, compressed as in a zip file."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(len(zlib.compress(file.read_bytes(), 9)) for file in files)
