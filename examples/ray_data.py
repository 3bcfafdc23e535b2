"""Classifies a folder of photos with an exported SavedModel in Ray Data, on as many machines as the Ray cluster has.

    pip install "ray[data]" tensorflow
    kerasnets export squeezenet1_0 --weights FILE.safetensors --to saved-model
    python examples/ray_data.py saved_models/squeezenet1_0/1 photos predictions

The workers need TensorFlow and the folder of the SavedModel, and not kerasnets: its signature `classify` takes the
contents of image files. The result is a folder of JSON lines with `image`, `label` and `probability`. A file that
cannot be decoded has the label `null`.
"""

import sys
from pathlib import Path

import ray


class Classifier:
    """Loads the SavedModel once in each worker process, and then gets batches of files."""

    def __init__(self, saved_model: str):
        import tensorflow as tf

        self.constant = tf.constant
        self.loaded = tf.saved_model.load(saved_model)

    def __call__(self, batch: dict) -> dict:
        found = self.loaded.signatures["classify"](files=self.constant(list(batch["bytes"])))
        labels, scores, errors = (found[name].numpy() for name in ("labels", "scores", "errors"))
        return {
            "image": batch["path"],
            "label": [None if error else label[0].decode() for label, error in zip(labels, errors, strict=True)],
            "probability": [None if e else float(score[0]) for score, e in zip(scores, errors, strict=True)],
        }


def main(saved_model: str, photos: str, output: str) -> None:
    files = ray.data.read_binary_files(photos, include_paths=True)
    classifier = {"fn_constructor_args": (str(Path(saved_model).resolve()),), "batch_size": 32, "concurrency": (1, 64)}
    files.map_batches(Classifier, **classifier).write_json(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
