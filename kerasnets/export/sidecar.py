"""What lies beside an exported network: the labels as text, and what a program needs to know as JSON.

For `net.tflite` these are `net.labels.txt` and `net.json`; a SavedModel has `labels.txt` and `network.json` in its
own folder `assets.extra`, which TensorFlow Serving leaves alone.
"""

import dataclasses
import json
from pathlib import Path

from kerasnets.registry import Preprocessing


def sidecar_paths(path: str | Path) -> tuple[Path, Path]:
    """Returns where the labels and the JSON of an exported file are."""
    path = Path(path)
    if path.suffix == ".tflite":
        return path.with_suffix(".labels.txt"), path.with_suffix(".json")
    return path / "assets.extra" / "labels.txt", path / "assets.extra" / "network.json"


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


def read_sidecar(path: str | Path) -> tuple[Preprocessing, tuple[str, ...]]:
    """Returns the preprocessing and the labels of an exported file.

    Raises:
        FileNotFoundError: if the JSON does not lie beside the file.
        ValueError: if it cannot be read.
    """
    json_path = sidecar_paths(path)[1]
    if not json_path.is_file():
        raise FileNotFoundError(
            f"{path} needs its {json_path.name} beside it (labels, image size). Received: {json_path}"
        )
    try:
        what = json.loads(json_path.read_text(encoding="utf-8"))
        numbers = {
            key: tuple(value) if isinstance(value, list) else value for key, value in what["preprocessing"].items()
        }
        return Preprocessing(**numbers), tuple(what["labels"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{json_path} is not the description of an exported network: {error}") from None
