"""The files of an export: where they go, and the labels and metadata beside them.

`net.tflite` has `net.tflite.labels.txt` and `net.tflite.json` beside it. A SavedModel has `labels.txt` and
`network.json` in its own folder `assets.extra`, which TensorFlow Serving ignores. The JSON holds the SHA-256 of the
file that it describes.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasnets.registry import Preprocessing

# Form -> the ending of its file's default name.
FORMS = {"saved-model": "", "tflite": ".tflite", "tflite-float16": "_float16.tflite", "tflite-int8": "_int8.tflite"}


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
    """Whether `path` is the folder of a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()


def final_path(output, name: str, form: str) -> Path:
    """Returns the final path of an export.

    Raises:
        ValueError: if something is there already that is not an export of that form.
    """
    place = Path(output) if output is not None else Path("saved_models") / (name + FORMS[form])
    if form == "saved-model":
        if place.is_file() or (place.is_dir() and any(place.iterdir()) and not is_saved_model(place)):
            raise ValueError(
                f"A SavedModel needs its own folder; this one holds something else. Received: output={str(place)!r}"
            )
        return place
    if place.is_dir():
        place = place / (name + FORMS[form])
    if place.suffix != ".tflite":
        raise ValueError(f"The name of a TFLite file should end in .tflite. Received: output={str(place)!r}")
    labels, description = metadata_paths(place)
    for path in (labels, description):
        if path.exists() and not is_metadata(description):
            raise ValueError(
                f"{path} exists and does not belong to an exported network. Received: output={str(place)!r}"
            )
    return place


def temporary_folder(place: Path) -> tempfile.TemporaryDirectory:
    """Makes a temporary folder beside the final path, on the same disk, so that moving a file is a rename."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent)
    except OSError as error:
        raise OSError(f"The folder {str(place.parent)!r} cannot be written: {error.strerror}") from None


def move_into_place(draft: Path, place: Path, folder: Path) -> None:
    """Moves a checked export to its final path, all of its files or none.

    After an error or Ctrl-C the older files are back. A process that is killed can leave newer metadata beside an
    older file; `read_metadata` refuses such a pair, because the hash in the metadata is another one.

    Args:
        draft: the SavedModel's folder or the TFLite file, with its labels and metadata.
        place: the final path.
        folder: a folder on the same disk, where the older files are kept until all is moved.
    """
    moves = [(draft, place)]
    if not draft.is_dir():
        moves = [*zip(reversed(metadata_paths(draft)), reversed(metadata_paths(place)), strict=True), *moves]
    started = []
    try:
        for source, goal in moves:
            older = folder / f"older-{goal.name}"
            started.append((goal, older))
            if goal.is_dir():
                os.replace(goal, older)
            elif goal.exists():
                shutil.copy2(goal, older)
            os.replace(source, goal)
    except BaseException:
        for goal, older in reversed(started):
            if older.exists():
                os.replace(older, goal)
            elif not goal.is_dir():
                goal.unlink(missing_ok=True)
        raise


def metadata_paths(path: str | Path) -> tuple[Path, Path]:
    """Returns the paths of the labels and the metadata (JSON) of an exported file."""
    path = Path(path)
    if path.suffix == ".tflite":
        return path.with_name(f"{path.name}.labels.txt"), path.with_name(f"{path.name}.json")
    return path / "assets.extra" / "labels.txt", path / "assets.extra" / "network.json"


def sha256_of(path: str | Path) -> str:
    """Returns the SHA-256 of a TFLite file, or of the names and contents of a SavedModel's files."""
    path, whole = Path(path), hashlib.sha256()
    if not path.is_dir():
        return _sha256_of_file(path)
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        if "assets.extra" not in file.relative_to(path).parts:
            whole.update(f"{file.relative_to(path).as_posix()} {_sha256_of_file(file)}\n".encode())
    return whole.hexdigest()


def _sha256_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_labels(labels: tuple[str, ...], classes: int, origin) -> None:
    """Raises ValueError if the number of labels is not the number of classes.

    Args:
        origin: the network's name or file, for the error.
    """
    if len(labels) != classes:
        raise ValueError(
            f"Each class should have a label. {origin} has {len(labels)} labels and the network {classes} classes."
        )


def write_metadata(
    path: str | Path, form: str, preprocessing: Preprocessing, labels: tuple[str, ...], name: str
) -> None:
    """Writes the labels and the metadata of the exported file `path`."""
    labels_path, json_path = metadata_paths(path)
    labels_path.parent.mkdir(exist_ok=True)
    size, channels = preprocessing.size, len(preprocessing.mean)
    what = {
        "model": name,
        "format": form,
        "sha256": sha256_of(path),
        "input": {
            "shape": [None if form == "saved-model" else 1, size, size, channels],
            "dtype": "uint8" if form == "tflite-int8" else "float32",
            "pixels": "0-255, " + ("grey" if channels == 1 else "RGB order"),
            "normalisation": "inside the network",
        },
        "output": {
            "shape": [None if form == "saved-model" else 1, len(labels)],
            "dtype": "float32",
            "values": "probabilities",
        },
        "preprocessing": dataclasses.asdict(preprocessing),
        "labels": list(labels),
    }
    labels_path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    json_path.write_text(json.dumps(what, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_metadata(json_path: Path) -> bool:
    """Whether a file is the metadata of an exported network."""
    try:
        what = json.loads(json_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(what, dict) and {"model", "format", "preprocessing", "labels"} <= set(what)


def read_metadata(path: str | Path) -> tuple[Preprocessing, tuple[str, ...]]:
    """Returns the preprocessing and the labels of an exported file.

    Raises:
        FileNotFoundError: if there is no metadata beside the file.
        ValueError: if the metadata cannot be read, or describes another file.
    """
    json_path = metadata_paths(path)[1]
    if not json_path.is_file():
        raise FileNotFoundError(
            f"{path} needs {json_path.name} beside it, for the labels and the image size. Copy it too, or export again."
        )
    try:
        what = json.loads(json_path.read_text(encoding="utf-8"))
        preprocessing = Preprocessing.from_plain(what["preprocessing"])
        labels, described = tuple(what["labels"]), what["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{json_path} is not the metadata of an exported network: {error}") from None
    if described != sha256_of(path):
        raise ValueError(f"{path} is damaged or not the file that {json_path.name} describes. Export it again.")
    return preprocessing, labels
