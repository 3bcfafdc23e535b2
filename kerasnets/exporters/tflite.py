"""TFLite (LiteRT) files: fixed batch 1, pixels 0-255 in, probabilities out, built-in operators only."""

import contextlib
import io
import warnings

import keras
import numpy as np

from kerasnets.data.images.per_image import normalise
from kerasnets.exporters.check import ExportError
from kerasnets.registry import Preprocessing


def tflite_bytes(
    model: keras.Model, preprocessing: Preprocessing, form: str, calibration: np.ndarray | None = None
) -> bytes:
    """Converts a classifier.

    Args:
        model: what `inference_form` gives, input (batch, size, size, channels), already normalised.
        preprocessing: the numbers of the normalisation, which becomes part of the file.
        form: `"tflite"` and `"tflite-float16"` take float32 pixels 0-255, `"tflite-int8"` takes uint8 pixels and
            computes in int8. All give float32 probabilities (1, classes).
        calibration: real training images for `"tflite-int8"`, pixels (examples, size, size, channels).

    Raises:
        ExportError: for a network that needs operators TFLite does not have.
    """
    import tensorflow as tf

    # A converter made from a traced function can leave variables out, and the file then gives NaN.
    converter = tf.lite.TFLiteConverter.from_keras_model(pixel_network(model, preprocessing))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if form != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "tflite-float16":
        converter.target_spec.supported_types = [tf.float16]
    if form == "tflite-int8":
        # Operators without an integer kernel stay in float; the check of the file lists them.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.inference_input_type = tf.uint8
        images = whole_range(calibration)
        converter.representative_dataset = lambda: ([image[np.newaxis].astype("float32")] for image in images)
    try:
        # The converter prints its temporary files, and warns that the ranges come from images and not from statistics.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            return converter.convert()
    except Exception as error:  # The converter's own exception classes are private.
        raise ExportError(f"The network cannot be converted to TFLite: {_reason(error)}") from error


def pixel_network(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Returns `model` for one image of pixels 0-255 (1, size, size, channels), with the normalisation inside.

    Normalisation is affine in the channels of a pixel, so it is written as a 1x1 convolution, whose numbers are
    computed with `normalise`. Quantisation then treats it as one operator with a scale for each channel.
    """
    size, channels = preprocessing.size, len(preprocessing.mean)
    inputs = keras.Input((size, size, channels), batch_size=1, name="image")
    unit = np.concatenate([np.zeros((1, channels)), np.eye(channels)]).astype("float32")
    offset, *columns = np.asarray(normalise(unit[:, np.newaxis, np.newaxis], preprocessing))[:, 0, 0]
    kernel = np.stack([column - offset for column in columns])[np.newaxis, np.newaxis]
    convolution = keras.layers.Conv2D(channels, 1, name="normalization", dtype="float32")
    x = convolution(inputs)
    convolution.set_weights([kernel, offset])
    return keras.Model(inputs, model(x, training=False), name=model.name)


def whole_range(images: np.ndarray) -> np.ndarray:
    """Returns the images with one black and one white corner pixel in the first.

    Calibration takes the range of the input from the images. With 0 and 255 among the pixels, the input has exactly
    scale 1 and zero point 0, so the file's uint8 input is the pixel itself.
    """
    images = np.array(images)
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    return images


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "ops:" in line.lower() or "error:" in line.lower()]
    return (telling or lines or [type(error).__name__])[0]
