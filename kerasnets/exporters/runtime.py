"""Exported files as plain functions: pixels 0-255 (batch, size, size, channels) -> probabilities (batch, classes).

A .tflite file is run without importing TensorFlow, as on the device it is made for.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Runner(NamedTuple):
    """A loaded file: what runs it, and the number of its classes."""

    run: Callable[[np.ndarray], np.ndarray]
    classes: int


def load_runner(path: str | Path, threads: int = 1) -> Runner:
    """Loads an exported file.

    Args:
        path: a .tflite file or a SavedModel's folder.
        threads: for how many threads a .tflite file is prepared.

    Raises:
        ValueError: for a file that is truncated or is no exported network.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no exported network. Received: path={str(path)!r}")
    return _load_saved_model(path) if path.is_dir() else _load_tflite(path, threads)


def is_saved_model(path: str | Path) -> bool:
    """Whether `path` is the folder of a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()


def _load_tflite(path: Path, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    with _one_line(path):
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run_one(image: np.ndarray) -> np.ndarray:
        if source["dtype"] == np.uint8:
            image = np.clip(np.rint(image), 0, 255)
        with _one_line(path):  # some damage shows only now
            interpreter.set_tensor(source["index"], image[np.newaxis].astype(source["dtype"]))
            interpreter.invoke()
        return interpreter.get_tensor(sink["index"])[0]

    def run(images: np.ndarray) -> np.ndarray:
        try:
            return np.stack([run_one(image) for image in images])
        except (ValueError, RuntimeError) as error:  # Some damage shows when the file runs and not before.
            raise ValueError(f"{path} cannot be run: {_first_line(error)}") from None

    return Runner(run, int(sink["shape"][-1]))


@contextlib.contextmanager
def _one_line(path: Path):
    """Turns what LiteRT raises for a damaged file into one clear line."""
    try:
        yield
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path} is no readable TFLite file, or not a whole one: {_first_line(error)}") from None


def _load_saved_model(path: Path):
    import tensorflow as tf

    if not is_saved_model(path):
        raise ValueError(f"A SavedModel is a folder with the file saved_model.pb. Received: path={str(path)!r}")
    try:
        loaded = tf.saved_model.load(str(path))
        classes = loaded.signatures["serving_default"].structured_outputs["probabilities"].shape[-1]
    except Exception as error:  # TensorFlow raises many kinds for a damaged folder; all mean the same to the reader.
        raise ValueError(f"{path} is no readable SavedModel, or not a whole one: {_first_line(error)}") from None

    def run(images: np.ndarray) -> np.ndarray:
        # Through `loaded`: a signature alone does not keep the variables of its model alive.
        serve = loaded.signatures["serving_default"]
        return serve(images=tf.constant(images, tf.float32))["probabilities"].numpy()

    return Runner(run, classes)


def load_bytes_runner(path: str | Path) -> Callable[[list[bytes]], np.ndarray]:
    """Loads a SavedModel's `serve_bytes`: encoded image files -> probabilities (batch, classes)."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda files: loaded.signatures["serve_bytes"](files=tf.constant(files, tf.string))["probabilities"].numpy()


def saved_model_ops(path: str | Path) -> dict[str, int]:
    """Counts the TensorFlow operators of a SavedModel's `serving_default`, those of the functions it calls included."""
    from collections import Counter

    import tensorflow as tf

    definition = tf.saved_model.load(str(path)).signatures["serving_default"].graph.as_graph_def()
    nodes = list(definition.node) + [node for function in definition.library.function for node in function.node_def]
    return dict(Counter(node.op for node in nodes).most_common())


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
