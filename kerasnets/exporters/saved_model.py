"""SavedModels, for TensorFlow Serving and other programs that run TensorFlow."""

from pathlib import Path

import keras

from kerasnets.data.images.per_image import evaluation_transform, normalise
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
