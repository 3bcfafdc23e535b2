"""Classifies a folder of photos with an exported SavedModel in Ray Data, on as many machines as the Ray cluster has.

    pip install "ray[data]" tensorflow
    kerasnets export squeezenet1_0 --weights FILE.safetensors --to saved-model
    python examples/ray_data.py saved_models/squeezenet1_0 photos predictions

The workers need TensorFlow and the folder of the SavedModel, and not kerasnets: its signature `serve_bytes` takes the
contents of image files. The result is a folder of JSON lines with `image`, `label` and `probability`. A file that
cannot be decoded has the label `null`.
"""

import sys
from pathlib import Path

import numpy as np
import ray


class Classifier:
    """Loads the SavedModel once in each worker process, and then gets batches of files."""

    def __init__(self, saved_model: str):
        import tensorflow as tf

        self.errors, self.constant = tf.errors.OpError, tf.constant
        self.loaded = tf.saved_model.load(saved_model)
        self.labels = Path(saved_model, "assets.extra", "labels.txt").read_text(encoding="utf-8").splitlines()

    def run(self, files: list[bytes]) -> np.ndarray:
        return self.loaded.signatures["serve_bytes"](files=self.constant(files))["probabilities"].numpy()

    def __call__(self, batch: dict) -> dict:
        files = list(batch["bytes"])
        try:
            found = list(self.run(files))
        except self.errors:  # One file is broken: each is tried by itself.
            found = [self.alone(file) for file in files]
        return {
            "image": batch["path"],
            "label": [None if each is None else self.labels[each.argmax()] for each in found],
            "probability": [None if each is None else float(each.max()) for each in found],
        }

    def alone(self, file: bytes) -> np.ndarray | None:
        try:
            return self.run([file])[0]
        except self.errors:
            return None


def main(saved_model: str, photos: str, output: str) -> None:
    files = ray.data.read_binary_files(photos, include_paths=True)
    classifier = {"fn_constructor_args": (str(Path(saved_model).resolve()),), "batch_size": 32, "concurrency": (1, 64)}
    files.map_batches(Classifier, **classifier).write_json(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
