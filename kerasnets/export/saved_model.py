"""SavedModels for TensorFlow Serving and everything else that runs TensorFlow."""

from pathlib import Path

import keras

from kerasnets.data.preprocess import normalise
from kerasnets.data.transforms import evaluation_transform
from kerasnets.registry import Preprocessing


def write_saved_model(model: keras.Model, preprocessing: Preprocessing, path: str | Path) -> None:
    """Writes a folder with two signatures, both giving `{"probabilities": (batch, classes) float32}`.

    * `serving_default(images=...)`: float32 (batch, size, size, channels), RGB (or grey) pixels 0-255, already of the
      network's size; the normalisation is inside.
    * `serve_bytes(files=...)`: strings (batch,), the contents of image files of any size (JPEG, PNG, GIF, BMP);
      decoding, resizing and normalisation are inside, by the operations that training and evaluation use.

    Args:
        model: in inference form.
        preprocessing: the numbers that become part of both signatures.
        path: a folder that does not exist yet.
    """
    import tensorflow as tf

    size, channels = preprocessing.size, len(preprocessing.mean)

    def serve_images(images):
        # Small constants: spread over the image, as in training, they would be as large as the image in the file.
        return {"probabilities": model(normalise(images, preprocessing, full_constants=False), training=False)}

    def serve_files(files):
        specification = tf.TensorSpec((size, size, channels), tf.uint8)
        return serve_images(tf.map_fn(evaluation_transform(preprocessing), files, fn_output_signature=specification))

    archive = keras.export.ExportArchive()
    archive.track(model)
    images = tf.TensorSpec((None, size, size, channels), tf.float32, name="images")
    archive.add_endpoint("serving_default", serve_images, input_signature=[images])
    archive.add_endpoint("serve_bytes", serve_files, input_signature=[tf.TensorSpec((None,), tf.string, name="files")])
    archive.write_out(str(path), verbose=False)
