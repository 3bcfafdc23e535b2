"""How a TFLite file does with a client that stretches photos to a square: LiteRT here, and MediaPipe if installed.

MediaPipe runs in a process of its own, `python -m kerasnets.exporters.client FILE`: it and TensorFlow bring two copies
of the same C++ libraries.
"""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasnets.exporters.intervals import share_interval


def through_client(network, path: str | Path, count: int) -> dict | None:
    """Returns the accuracy of a TFLite file on held-out photos of a run that are stretched, as MediaPipe does.

    Args:
        network: what `open_network` gives.
        path: the .tflite file.
        count: the largest number of photos. They are those of `check_images`.

    Returns:
        `{"geometry", "examples", "accuracy", "accuracy_interval", "mediapipe"}`, or `None` without photos of a run.
        `mediapipe` is what `run_mediapipe` gives, with accuracy, interval and agreement with LiteRT; `None` if it is
        not installed.
    """
    if network.data is None or network.data.source.kind != "folder":
        return None
    from kerasnets.data.sources import open_source
    from kerasnets.exporters.images import sample
    from kerasnets.exporters.tflite import load_tflite

    source = open_source(network.data.source, network.data.evaluation_split)
    images, labels = sample(source, dataclasses.replace(network.preprocessing, geometry="stretch"), count)
    ours = load_tflite(path, threads=None).run(images).argmax(-1)
    found = {"geometry": "stretch", "examples": len(images), **_accuracy(ours, labels), "mediapipe": None}
    if importlib.util.find_spec("mediapipe"):
        places = np.linspace(0, source.size, min(count, source.size), endpoint=False).astype(int)
        wanted = source.labels()[places]
        found["mediapipe"] = run_mediapipe(path, [source.paths[place] for place in places], wanted)
    return found


def _accuracy(classes: np.ndarray, labels: np.ndarray) -> dict:
    right = int(np.sum(classes == labels))
    return {"accuracy": right / len(labels), "accuracy_interval": list(share_interval(right, len(labels)))}


def run_mediapipe(path: str | Path, files: Sequence[str], labels: np.ndarray) -> dict:
    """Classifies photo files with MediaPipe's own `ImageClassifier`.

    Returns:
        `{"version", "examples", "accuracy", "accuracy_interval"}` on the photos that it can read; `{"error"}` if it
        refuses the file.
    """
    command = [sys.executable, "-m", "kerasnets.exporters.client", str(Path(path).resolve())]
    package_parent = str(Path(__file__).resolve().parents[2])
    lines = "".join(f"{Path(file).resolve()}\n" for file in files)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, cwd=package_parent)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": said[-1] if said else f"its process ended with code {done.returncode}"}
    version, *classes = map(json.loads, done.stdout.splitlines())
    read = [place for place, found in enumerate(classes) if found is not None]
    if not read:
        return {"error": "it can read none of the photos"}
    shares = _accuracy(np.array([classes[place] for place in read]), labels[read])
    return {"version": version, "examples": len(read), **shares}


def main(path: str) -> None:
    """Prints MediaPipe's version, and the most probable class of each photo file on standard input; null if unread."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    print(json.dumps(mp.__version__))
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path), max_results=1)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for line in sys.stdin:
            try:
                photo = mp.Image.create_from_file(line.rstrip("\n"))
            except (RuntimeError, ValueError):
                print("null")
                continue
            print(classifier.classify(photo).classifications[0].categories[0].index)


if __name__ == "__main__":
    main(*sys.argv[1:])
