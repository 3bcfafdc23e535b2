"""TFLite files of a form, and where the ranges of their integers come from: training, images, or TFLite's converter."""

import keras

from kerasnets.compression.quantization import is_quantization_aware, without_rounding
from kerasnets.compression.quantization_file import fixed, without_norms
from kerasnets.compression.quantization_post import can_round, rounded
from kerasnets.data.images.per_image import normalise
from kerasnets.exporters.files import CALIBRATED, QUANTISED
from kerasnets.exporters.float_layers import with_float_layers
from kerasnets.exporters.images import calibration_images
from kerasnets.exporters.open_network import LoadedNetwork
from kerasnets.exporters.tflite import tflite_bytes

# The largest number of images that ranges are taken from; most settle on fewer.
IMAGES = 500


def in_form(model: keras.Model, form: str) -> keras.Model:
    """Returns the classifier that a file of a form computes: without rounding, unless the file has it too."""
    plain = form != "saved-model" and form not in QUANTISED
    return without_rounding(model) if plain and is_quantization_aware(model) else model


def tflite_of(model: keras.Model, network: LoadedNetwork, form: str, calibrate=None, keep_float=()) -> bytes:
    """Returns the contents of a TFLite file.

    The 8-bit forms have the ranges of a quantisation-aware training. Any other network gets ranges from images, as
    `compression/quantization_post.py` finds them, or as TFLite's converter does for layers that are not known there.

    Args:
        model: what `inference_form` gives for the network in its form.
        keep_float: layers that compute in float.

    Raises:
        ValueError: for `keep_float` where it does not apply.
    """
    trained, known = is_quantization_aware(model), can_round(model)
    if keep_float and (form not in QUANTISED or trained or not known):
        reason = "quantize.keep_float is its key in a recipe" if trained else "this network or form does not have it"
        raise ValueError(
            "`keep_float` works for tflite-int8 and tflite-full-integer, of networks that were trained without "
            f"quantisation and have only common layers; {reason}. Received: keep_float={list(keep_float)}"
        )
    if form in QUANTISED and (trained or known):
        if not trained:
            pixels = calibration_images(network, calibrate, IMAGES)
            model = rounded(model, normalise(pixels, network.preprocessing), keep_float=keep_float)
        content = tflite_bytes(fixed(without_norms(model)), network.preprocessing, form)
        kernels = {name: model.get_layer(name).kernel.numpy() for name in keep_float}
        return with_float_layers(content, kernels) if kernels else content
    images = calibration_images(network, calibrate) if form in CALIBRATED else None
    return tflite_bytes(model, network.preprocessing, form, images)
