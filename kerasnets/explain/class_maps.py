"""Class activation maps: sums of a layer's maps, weighted for one class.

Every function takes `(model, images, target=None, layer=None, ...)` and returns float32 (batch, height, width) at the
size of the layer, neither resized nor scaled.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from kerasnets.explain.network import (
    all_logits,
    batches,
    checked,
    chosen,
    clear_about_memory,
    default_layer,
    logits_of,
)
from kerasnets.explain.saliency import connected
from kerasnets.graph.walk import described, opened_calls
from kerasnets.layers.backend import tf


def grad_cam(model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16) -> np.ndarray:
    """Returns relu(sum over maps of w A), where w is the mean of the logit's gradient over the map A.

    Args:
        model: any functional classifier; other functional models may be nested in it.
        images: (batch, height, width, channels), prepared as the model takes them.
        target: the class, or one for each image. `None` takes the class with the largest logit.
        layer: the layer whose maps are taken. `None` takes `kerasnets.explain.default_layer(model)`.
        batch_size: images at a time.

    Returns:
        float32 (batch, height, width), zero or larger.

    Raises:
        ValueError: for arguments that do not fit the model, a layer without maps, or one that the logits do not depend
            on.
        MemoryError: for a batch that does not fit into memory.

    Source: Selvaraju et al. 2016, equations 1 and 2, https://arxiv.org/abs/1610.02391
    """

    def weights(maps, slopes):
        return tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)

    return _gradient_map(model, images, target, layer, (weights, batch_size))


def grad_cam_plus_plus(
    model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16
) -> np.ndarray:
    """Returns relu(sum over maps of w A), w = sum of alpha relu(g), alpha = g^2 / (2 g^2 + sum of A g^3).

    g is the logit's gradient at each place of the map A. Arguments and errors as `grad_cam`.

    Source: Chattopadhyay et al. 2017, equations 5, 10 and 19, https://arxiv.org/abs/1710.11063
    """

    def weights(maps, slopes):
        total = tf.reduce_sum(maps * slopes**3, axis=(1, 2), keepdims=True)
        alpha = slopes**2 / (2 * slopes**2 + total + 1e-12)
        return tf.reduce_sum(alpha * tf.nn.relu(slopes), axis=(1, 2), keepdims=True)

    return _gradient_map(model, images, target, layer, (weights, batch_size))


def layer_cam(model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16) -> np.ndarray:
    """Returns relu(sum over maps of relu(g) A), where g is the logit's gradient at each place of the map A.

    It also works for layers far from the logits. Arguments and errors as `grad_cam`.

    Source: Jiang et al. 2021, equations 5 and 6, https://doi.org/10.1109/TIP.2021.3089943
    """
    return _gradient_map(model, images, target, layer, (lambda maps, slopes: tf.nn.relu(slopes), batch_size))


def cam(model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16) -> np.ndarray:
    """Returns the sum of the last maps, each times its weight in the classifier behind a global average pooling.

    There is no ReLU: where a map is negative it speaks against the class. The mean over a map's places plus the
    classifier's bias is the logit. Where the maps are the classes themselves (SqueezeNet, NiN), the weight is 1.

    Args:
        layer: `None`, or the layer whose output is pooled.

    Other arguments as `grad_cam`.

    Raises:
        ValueError: as `grad_cam`, and for a model that does not end in global average pooling and one dense layer.

    Source: Zhou et al. 2016, equation 2, https://arxiv.org/abs/1512.04150
    """
    pooled, kernel = _pooling_head(model)
    if layer not in (None, pooled):
        raise ValueError(f"`layer` should be the one that is pooled, {pooled!r}. Received: layer={layer!r}")
    images, target = checked(model, images, target)
    maps = []
    with clear_about_memory(batch_size):
        for part in batches(len(images), batch_size):
            logits, values = _arrays_with_maps(model, images[part], pooled)
            picked = logits.argmax(axis=1) if target is None else target[part]
            weights = (np.eye(values.shape[-1], dtype="float32") if kernel is None else kernel)[:, picked]
            maps.append(np.einsum("bhwk,kb->bhw", values, weights, optimize=True))
    return np.concatenate(maps)


def score_cam(
    model: keras.Model,
    images,
    target=None,
    layer: str | None = None,
    *,
    baseline=0.0,
    maps_used: int | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Returns relu(sum over maps of w A), where w tells how much the image, seen through the map A, raises the logit.

    Each map is resized to the image (bilinear), brought to 0..1 and multiplied with the image. Its score is the logit
    of that minus the baseline's; w is the softmax of the scores over the maps. Constant maps count nothing. There is
    one forward pass for each map.

    Args:
        baseline: what the score is compared with: a number, or an array that broadcasts to an image.
        maps_used: take only that many maps, those with the largest range. `None` takes all.

    Other arguments and errors as `grad_cam`.

    Source: Wang et al. 2019, section 3 and algorithm 1, https://arxiv.org/abs/1910.01279, with logits as scores
    """
    images, target = _checked(model, images, target, layer)
    layer, result = layer or default_layer(model), []
    start = np.broadcast_to(np.asarray(baseline, "float32"), images.shape[1:])[None]
    for number, image in enumerate(images):
        logits, (values,) = _arrays_with_maps(model, image[None], layer)
        aim = int(logits[0].argmax()) if target is None else target[number]
        ranges = np.ptp(values, axis=(0, 1))
        order = np.argsort(-ranges, kind="stable")[:maps_used]
        order = order[ranges[order] > 0]
        if not len(order):
            result.append(np.zeros(values.shape[:2], "float32"))
            continue
        scores = _scores(model, image, values[..., order], aim, batch_size) - all_logits(model, start)[0, aim]
        weights = np.exp(scores - scores.max())
        result.append(np.maximum(values[..., order] @ (weights / weights.sum()), 0))
    return np.stack(result)


def _checked(model, images, target, layer: str | None) -> tuple[np.ndarray, list | None]:
    """Checks arguments whose target is a class, whatever the layer."""
    checked(model, images, layer=layer)
    return checked(model, images, target)


def _scores(model, image, values, aim: int, batch_size: int) -> np.ndarray:
    """Returns the logit of the image seen through each of its maps."""
    scores = []
    for part in batches(values.shape[-1], batch_size):
        maps = ops.convert_to_tensor(np.moveaxis(values[..., part], -1, 0)[..., None])
        masks = ops.convert_to_numpy(ops.image.resize(maps, image.shape[:2], "bilinear"))
        low, high = masks.min(axis=(1, 2, 3), keepdims=True), masks.max(axis=(1, 2, 3), keepdims=True)
        masks = (masks - low) / np.maximum(high - low, 1e-12)
        scores.append(all_logits(model, image * masks, batch_size)[:, aim])
    return np.concatenate(scores)


def _gradient_map(model, images, target, layer, how: tuple[Callable, int]) -> np.ndarray:
    """Returns relu(sum of weights times maps); `how` is (maps, gradient) -> weights, and the images at a time."""
    (weights, batch_size), result = how, []
    images, target = _checked(model, images, target, layer)
    layer = layer or default_layer(model)
    with clear_about_memory(batch_size):
        for part in batches(len(images), batch_size):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                logits, values = _with_maps(model, tf.constant(images[part]), layer, tape)
                score = chosen(logits, target, part.start)[0]
            slopes = tf.cast(connected(tape.gradient(score, values), layer), tf.float32)
            values = tf.cast(values, tf.float32)
            result.append(tf.nn.relu(tf.reduce_sum(weights(values, slopes) * values, axis=-1)).numpy())
    return np.concatenate(result)


def _arrays_with_maps(model, images, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the logits of images and a layer's output, both float32."""
    logits, values = _with_maps(model, ops.convert_to_tensor(images), layer)
    return ops.convert_to_numpy(logits), ops.convert_to_numpy(ops.cast(values, "float32"))


def _with_maps(model, x, layer: str, tape=None):
    """Returns the logits, and a layer's output (batch, height, width, maps), which a gradient tape watches from there.

    Raises:
        ValueError: for a layer that is called more than once or has no maps.
    """
    found = []

    def seen(passed, output, *_):
        if passed.name == layer:
            found.append(output)
            if len(found) > 1 or isinstance(output, list | tuple | dict) or len(output.shape) != 4:
                raise ValueError(
                    "The layer should be called once and have an output (batch, height, width, maps); "
                    f"{default_layer(model)!r} has. Received: layer={layer!r}"
                )
            if tape is not None:
                tape.watch(output)
        return output

    logits = logits_of(model, x, seen)
    return logits, found[0]


def _pooling_head(model) -> tuple[str, np.ndarray | None]:
    """Returns the layer that is pooled globally at the end, and the dense layer's kernel (maps, classes), if any."""
    kernel, passed = None, ("Dropout", "Flatten", "Activation", "Softmax", "Reshape")
    back = reversed(opened_calls(model))
    for call in back:
        kind = type(call.layer).__name__
        if kind == "Dense" and kernel is None:
            kernel = np.asarray(call.layer.kernel, "float32")
        elif kind == "GlobalAveragePooling2D":
            before = next(back, None)
            while before is not None and type(before.layer).__name__ in passed[:1]:
                before = next(back, None)
            if before is not None and len(before.outputs[0].shape) == 4:
                return before.layer.name, kernel
            break
        elif kind not in passed:
            break
    raise ValueError(
        "cam needs a model that ends in GlobalAveragePooling2D and a Dense layer; use grad_cam. "
        f"Received: {described(model)}"
    )
