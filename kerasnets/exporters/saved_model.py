"""SavedModels for TensorFlow Serving and everything else that runs TensorFlow."""

from pathlib import Path

import keras

from kerasnets.data.images.per_image import evaluation_transform
from kerasnets.data.preprocess import normalise
from kerasnets.registry import Preprocessing


def write_saved_model(model: keras.Model, preprocessing: Preprocessing, path: str | Path) -> None:
    """Writes a folder with two signatures, both giving `{"probabilities": (batch, classes) float32}`.

    * `serving_default(images=...)`: float32 (batch, size, size, channels), RGB (or grey) pixels 0-255, already of the
      network's size; the normalisation is inside.
    * `serve_bytes(files=...)`: strings (batch,), the contents of image files of any size (JPEG, PNG, GIF, BMP);
      decoding, resizing and normalisation are inside, by the operations that training and evaluation use.

    Args:
        model: what `inference_form` gives.
        preprocessing: the numbers that become part of both signatures.
        path: a folder that does not exist yet.
    """
    import tensorflow as tf

    size, channels = preprocessing.size, len(preprocessing.mean)

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, channels), tf.float32, name="images")])
    def serve_images(images):
        # Small constants: spread over the image, as in training, they would be as large as the image in the file.
        return {"probabilities": model(normalise(images, preprocessing, full_constants=False), training=False)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="files")])
    def serve_files(files):
        specification = tf.TensorSpec((size, size, channels), tf.uint8)
        images = tf.map_fn(evaluation_transform(preprocessing), files, fn_output_signature=specification)
        return serve_images(tf.cast(images, tf.float32))

    # By TensorFlow itself: `keras.export.ExportArchive` writes every variable twice.
    module = tf.Module()
    module.parameters = [variable.value for variable in model.weights]
    module.serving_default, module.serve_bytes = serve_images, serve_files
    signatures = {"serving_default": serve_images, "serve_bytes": serve_files}
    tf.saved_model.save(module, str(path), signatures)
