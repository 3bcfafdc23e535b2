"""Write, run and inspect SavedModels, for TensorFlow Serving and other programs that run TensorFlow."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kerasnets.data.images.per_image import evaluation_transform, normalise
from kerasnets.exporters.files import Runner, first_line, is_saved_model
from kerasnets.registry import Preprocessing


def write_saved_model(model: keras.Model, preprocessing: Preprocessing, path: str | Path) -> None:
    """Writes a folder with two signatures. Both return `{"probabilities": (batch, classes) float32}`.

    * `serving_default(images=...)`: float32 (batch, size, size, channels), RGB (or grey) pixels 0-255 of the network's
      size. The signature normalises them.
    * `serve_bytes(files=...)`: strings (batch,), the contents of image files of any size (JPEG, PNG, GIF, BMP). The
      signature decodes, resizes and normalises them, with the operations that training and evaluation use.

    Args:
        model: what `inference_form` gives.
        preprocessing: the numbers of the normalisation, which becomes part of both signatures.
        path: a folder that does not exist yet.
    """
    import tensorflow as tf

    size, channels = preprocessing.size, len(preprocessing.mean)

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, channels), tf.float32, name="images")])
    def serve_images(images):
        # Training spreads mean and std over the whole image, which is faster; here that would make the file larger.
        return {"probabilities": model(normalise(images, preprocessing, full_constants=False), training=False)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="files")])
    def serve_files(files):
        specification = tf.TensorSpec((size, size, channels), tf.uint8)
        images = tf.map_fn(evaluation_transform(preprocessing), files, fn_output_signature=specification)
        return serve_images(tf.cast(images, tf.float32))

    # Not `keras.export.ExportArchive`: it writes every variable twice.
    module = tf.Module()
    module.parameters = [variable.value for variable in model.weights]
    module.serving_default, module.serve_bytes = serve_images, serve_files
    signatures = {"serving_default": serve_images, "serve_bytes": serve_files}
    tf.saved_model.save(module, str(path), signatures)


def load_saved_model(path: str | Path) -> Runner:
    """Loads a SavedModel's `serving_default`.

    Raises:
        ValueError: for a folder that holds no SavedModel, or a damaged one.
    """
    import tensorflow as tf

    if not is_saved_model(path):
        raise ValueError(f"A SavedModel's folder should hold the file saved_model.pb. Received: path={str(path)!r}")
    try:
        loaded = tf.saved_model.load(str(path))
        classes = loaded.signatures["serving_default"].structured_outputs["probabilities"].shape[-1]
    except Exception as error:  # TensorFlow raises many kinds of errors for a damaged folder.
        raise ValueError(f"{path} is not a SavedModel, or damaged: {first_line(error)}") from None

    def run(images: np.ndarray) -> np.ndarray:
        # The signature is looked up in `loaded` because it does not keep the variables alive by itself.
        serve = loaded.signatures["serving_default"]
        return serve(images=tf.constant(images, tf.float32))["probabilities"].numpy()

    return Runner(run, classes)


def load_serve_bytes(path: str | Path) -> Callable[[list[bytes]], np.ndarray]:
    """Returns a SavedModel's `serve_bytes`: encoded image files (bytes) -> probabilities (batch, classes)."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda files: loaded.signatures["serve_bytes"](files=tf.constant(files, tf.string))["probabilities"].numpy()


def saved_model_ops(path: str | Path) -> dict[str, int]:
    """Counts the TensorFlow operators of a SavedModel's `serving_default`, including the functions that it calls."""
    import tensorflow as tf

    definition = tf.saved_model.load(str(path)).signatures["serving_default"].graph.as_graph_def()
    nodes = list(definition.node) + [node for function in definition.library.function for node in function.node_def]
    return dict(Counter(node.op for node in nodes).most_common())
