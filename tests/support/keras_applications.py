"""keras.applications' networks with filled weights, and the variants of ours that compute the same."""

import dataclasses

import keras
import numpy as np
from nets import fill

from kerasnets.build import build
from kerasnets.registry import get_variant

SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 75, "NASNetLarge": 75, "NASNetMobile": 64}


def peer(builder: str, size: int):
    """The network of keras.applications with every weight filled."""
    options = {"weights": None, "classes": 10, "classifier_activation": None, "input_shape": (size, size, 3)}
    if builder.startswith("MobileNetV3"):
        options["include_preprocessing"] = False
    if builder.startswith("NASNet"):  # the public builder refuses to be small
        from keras.src.applications.nasnet import NASNet

        filters, cells, stem, skip = {"NASNetLarge": (4032, 6, 96, True), "NASNetMobile": (1056, 4, 32, False)}[builder]
        shape = {"penultimate_filters": filters, "num_blocks": cells, "stem_block_filters": stem}
        model = NASNet(**shape, skip_reduction=skip, default_size=size, **options)
    else:
        model = getattr(keras.applications, builder)(**options)
    # EfficientNet's own normalisation does nothing without data, and stays so.
    idle = [w for layer in model.layers if isinstance(layer, keras.layers.Normalization) for w in layer.weights]
    values = [np.array(w) for w in idle]
    fill(model)
    for weight, value in zip(idle, values, strict=True):
        weight.assign(value)
    return model


def ours(name: str, size: int):
    """Our network that computes the same."""
    variant = get_variant(name)
    if variant.family == "nasnet":  # keras.applications counts the zeros that it pads with, the authors do not
        variant = dataclasses.replace(variant, spec=variant.spec._replace(counts_zeros=("avg", "max")))
    return build(variant, classes=10, classifier_activation=None, input_shape=(size, size, 3))
