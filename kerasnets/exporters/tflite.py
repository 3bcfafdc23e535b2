"""TFLite (LiteRT) files: fixed batch 1, pixels 0-255 in, probabilities out, built-in operators only."""

import contextlib
import io
import warnings

import keras
import numpy as np

from kerasnets.exporters.check import ExportError
from kerasnets.exporters.network import pixel_network
from kerasnets.registry import Preprocessing


def tflite_bytes(
    model: keras.Model, preprocessing: Preprocessing, form: str, calibration: np.ndarray | None = None
) -> bytes:
    """Converts a classifier.

    Args:
        model: what `inference_form` gives, input (batch, size, size, channels), already normalised.
        preprocessing: the numbers that become part of the file.
        form: `"tflite"` and `"tflite-float16"` take float32 pixels 0-255, `"tflite-int8"` takes uint8 pixels and
            computes in int8. All give float32 probabilities (1, classes).
        calibration: real training images for `"tflite-int8"`, pixels (examples, size, size, channels).

    Raises:
        ExportError: for a network that needs operators TFLite does not have.
    """
    import tensorflow as tf

    # From the Keras model and not from a traced function: the latter can leave variables out, and the file gives NaN.
    converter = tf.lite.TFLiteConverter.from_keras_model(pixel_network(model, preprocessing))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if form != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "tflite-float16":
        converter.target_spec.supported_types = [tf.float16]
    if form == "tflite-int8":
        # Float operators stay allowed, for those without an integer kernel; the check of the file names them.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.inference_input_type = tf.uint8
        images = whole_range(calibration)
        converter.representative_dataset = lambda: ([image[np.newaxis].astype("float32")] for image in images)
    try:
        # The converter talks of its temporary files, and warns that ranges come from images instead of from statistics.
        quiet = contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore")
        with quiet[0], quiet[1]:
            return converter.convert()
    except Exception as error:  # The converter's own exceptions are private; each means that there is no file.
        raise ExportError(f"The network cannot be converted to TFLite: {_reason(error)}") from error


def whole_range(images: np.ndarray) -> np.ndarray:
    """Returns the images with one black and one white corner pixel in the first.

    Calibration takes the range of the input from the images; with 0 and 255 in it the input's scale is exactly 1 and
    its zero point 0, so that the file's uint8 input is the pixel itself.
    """
    images = np.array(images)
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    return images


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "ops:" in line.lower() or "error:" in line.lower()]
    return (telling or lines or [type(error).__name__])[0]
