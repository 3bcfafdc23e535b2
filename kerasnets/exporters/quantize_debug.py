"""The layers of a network by the error that their rounding to 8 bits adds, and what to do about it."""

import numpy as np

from kerasnets.compression.quantization import is_quantization_aware
from kerasnets.compression.quantization_debug import LayerError, layer_errors, worst_layers
from kerasnets.compression.quantization_post import can_round, rounded
from kerasnets.data.images.per_image import normalise
from kerasnets.exporters.images import calibration_images, check_images
from kerasnets.exporters.open_network import LoadedNetwork, classifier, open_network
from kerasnets.exporters.own_images import is_own, own_images
from kerasnets.exporters.quantized import IMAGES
from kerasnets.graph.fold import inference_form


def quantize_debug(  # noqa: PLR0913 - the arguments of `export` that matter here
    target, calibrate=None, *, weights=None, preprocessing=None, labels=None, keep_float=(), examples: int = 64
) -> list[LayerError]:
    """Returns the error that the rounding of each layer of an int8 file adds alone, the largest first.

    The first row, `"all"`, is all layers together. The error is the root mean squared change of the probabilities.

    Args:
        target, calibrate, weights, preprocessing, labels, keep_float: as for `export`.
        examples: the number of held-out images.

    Raises:
        ValueError: for wrong arguments, or a network whose ranges TFLite's converter would find.
    """
    network = open_network(target, weights, preprocessing=preprocessing, labels=labels)
    if is_own(calibrate):
        calibrate = own_images(calibrate, network.preprocessing, 2 * IMAGES)
    model = _with_ranges(network, calibrate, keep_float)
    pixels = check_images(network, calibrate, examples).pixels
    return layer_errors(model, np.asarray(normalise(pixels, network.preprocessing)))


def _with_ranges(network: LoadedNetwork, calibrate, keep_float):
    model = inference_form(classifier(network.model))
    if is_quantization_aware(model):
        return model
    if not can_round(model):
        raise ValueError(
            "The table of layers needs a network of common layers; of this one, TFLite's converter finds the ranges. "
            f"Received: {network.name!r}"
        )
    pixels = calibration_images(network, calibrate, IMAGES)
    return rounded(model, normalise(pixels, network.preprocessing), keep_float=keep_float)


def advice(rows: list[LayerError]) -> str:
    """Returns what to do about the errors, in one sentence."""
    together, *single = rows
    if together.agreement == 1.0 and together.error < 0.01:
        return "Rounding changes little here."
    if single[0].output >= single[0].kernel:
        return (
            f"The range of {single[0].layer} loses most: train with quantisation (the recipe key quantize), or export "
            "tflite-int16x8."
        )
    return f"Leave kernels in float: --keep-float {','.join(worst_layers(rows) or [single[0].layer])}"
