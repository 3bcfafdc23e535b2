"""The deconvnet of Zeiler and Fergus."""

import keras
import numpy as np

from kerasnets.explain.network import checked
from kerasnets.explain.rectified import check_rectifiers, gradient_deconvnet
from kerasnets.explain.switches import projected


def deconvnet(
    model: keras.Model,
    images,
    target=None,
    layer: str | None = None,
    *,
    switches: bool = False,
    batch_size: int = 16,
) -> np.ndarray:
    """Projects one activation back to the pixels: the gradient, in which ReLUs pass positive gradients everywhere.

    Without local response normalisation, and without equal values in a pooling window, both forms give the same.

    Args:
        model, images, batch_size: as for `kerasnets.explain.gradient`.
        target, layer: where the signal begins. Without a layer it is the logit of `target`, with the value 1. At a
            layer inside it is the largest activation of map number `target` (`None`: of all maps), with its own value;
            all other activations are zero.
        switches: go back layer by layer as the paper does, with recorded switches of the max pooling, transposed
            filters, and without local response normalisation. A pooling window of equal values, such as one of zeros,
            has its switch at the first of them, row by row.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: as `kerasnets.explain.guided`; with `switches` also for a layer that is neither linear nor a ReLU
            nor max pooling.

    Source: Zeiler and Fergus 2013, section 2.1, https://arxiv.org/abs/1311.2901; as a gradient: Springenberg et al.
        2014, section 3.4, https://arxiv.org/abs/1412.6806
    """
    images, target = checked(model, images, target, layer)
    if switches:
        check_rectifiers(model)
        return projected(model, images, target, layer, batch_size)
    return gradient_deconvnet(model, images, target, layer, batch_size)
