"""What lies beside an exported network: the labels as text, and what a program needs to know as JSON.

For `net.tflite` these are `net.tflite.labels.txt` and `net.tflite.json`; a SavedModel has `labels.txt` and
`network.json` in its own folder `assets.extra`, which TensorFlow Serving leaves alone. The JSON carries the SHA-256 of
the file that it describes.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

from kerasnets.registry import Preprocessing


def sidecar_paths(path: str | Path) -> tuple[Path, Path]:
    """Returns where the labels and the JSON of an exported file are."""
    path = Path(path)
    if path.suffix == ".tflite":
        return path.with_name(f"{path.name}.labels.txt"), path.with_name(f"{path.name}.json")
    return path / "assets.extra" / "labels.txt", path / "assets.extra" / "network.json"


def digest(path: str | Path) -> str:
    """Returns the SHA-256 of a TFLite file; of a SavedModel, that of the names and contents of its files."""
    path, whole = Path(path), hashlib.sha256()
    if not path.is_dir():
        return _file_digest(path)
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        if "assets.extra" not in file.relative_to(path).parts:
            whole.update(f"{file.relative_to(path).as_posix()} {_file_digest(file)}\n".encode())
    return whole.hexdigest()


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_labels(labels: tuple[str, ...], classes: int, origin) -> None:
    """Refuses labels that are not one for each class of the network."""
    if len(labels) != classes:
        raise ValueError(f"{origin} has {len(labels)} labels and the network {classes} classes: they do not match.")


def write_sidecar(
    path: str | Path, form: str, preprocessing: Preprocessing, labels: tuple[str, ...], name: str
) -> None:
    """Writes both files for the exported file `path`."""
    labels_path, json_path = sidecar_paths(path)
    labels_path.parent.mkdir(exist_ok=True)
    size, channels = preprocessing.size, len(preprocessing.mean)
    what = {
        "model": name,
        "format": form,
        "sha256": digest(path),
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


def is_sidecar(json_path: Path) -> bool:
    """Whether a file is the JSON of an exported network."""
    try:
        what = json.loads(json_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(what, dict) and {"model", "format", "preprocessing", "labels"} <= set(what)


def read_sidecar(path: str | Path) -> tuple[Preprocessing, tuple[str, ...]]:
    """Returns the preprocessing and the labels of an exported file.

    Raises:
        FileNotFoundError: if the JSON does not lie beside the file.
        ValueError: if it cannot be read, or describes another file.
    """
    json_path = sidecar_paths(path)[1]
    if not json_path.is_file():
        raise FileNotFoundError(
            f"{path} needs its {json_path.name} beside it (labels, image size). Received: {json_path}"
        )
    try:
        what = json.loads(json_path.read_text(encoding="utf-8"))
        preprocessing = Preprocessing.from_plain(what["preprocessing"])
        labels, described = tuple(what["labels"]), what["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{json_path} is not the description of an exported network: {error}") from None
    if described != digest(path):
        raise ValueError(f"{path} is damaged or not the file that {json_path.name} describes: export it again.")
    return preprocessing, labels
