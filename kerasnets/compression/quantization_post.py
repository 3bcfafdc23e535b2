"""Quantisation after training: from a trained network and images to a network that rounds, without any training."""

import keras
import numpy as np

from kerasnets.compression.quantization import quantization_aware
from kerasnets.compression.quantization_equalize import correct_biases, equalize
from kerasnets.compression.quantization_file import without_norms
from kerasnets.compression.quantization_graph import unknown_layers
from kerasnets.compression.quantization_ranges import calibrate
from kerasnets.graph.fold import native_groups


def can_round(model: keras.Model) -> bool:
    """Tells whether the ranges of all layers of a network are known here; else TFLite's converter finds them."""
    return len(model.inputs) == 1 and not unknown_layers(model)


def rounded(model: keras.Model, images: np.ndarray, *, keep_float=(), improved: bool = True) -> keras.Model:
    """Returns a quantisation-aware network with ranges from images.

    Batch normalisation is folded already. Maps are equalised where the graph allows it, ranges are those of the
    smallest mean squared error, and biases are corrected by the mean error of the kernels.

    Args:
        model: what `inference_form` gives for a classifier in float32. Its weights are changed, its function is not.
        images: normalised training images, (images, height, width, channels).
        keep_float: names of layers whose kernels stay in float.
        improved: `False` leaves out equalisation and correction of biases, and takes the smallest and largest value.
    """
    folded = without_norms(model)
    if improved:
        equalize(folded, images[:128])
    twin = quantization_aware(folded, keep_float=keep_float)
    calibrate(twin, images, by_error=improved)
    if improved:
        correct_biases(twin, folded, images[:128])
    return native_groups(twin)
