"""How good is a map: deletion and insertion, completeness, randomised weights.

A score without a control says little. `random_maps` gives the maps to compare with, and `interval` the uncertainty over
the images.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from scipy.special import softmax

from kerasnets.explain.network import all_logits, checked
from kerasnets.graph.walk import opened_calls

_KERNEL, _SIGMA = 11, 5.0  # of the blur that insertion begins with, as in RISE's own code


def heatmap(maps, size: tuple[int, int] | None = None) -> np.ndarray:
    """Returns heatmaps, one number for each pixel, from the maps of any method.

    Args:
        maps: (batch, height, width), or (batch, height, width, channels), whose absolute values are summed.
        size: (height, width) to resize to, bilinear; `None` keeps the size.

    Returns:
        float32 (batch, height, width).
    """
    maps = np.asarray(maps, "float32")
    maps = np.abs(maps).sum(axis=-1) if maps.ndim == 4 else maps
    if size is None or maps.shape[1:] == tuple(size):
        return maps
    return ops.convert_to_numpy(ops.image.resize(ops.convert_to_tensor(maps[..., None]), size, "bilinear"))[..., 0]


def random_maps(count: int, size: tuple[int, int], seed: int = 0, cells: int = 7) -> np.ndarray:
    """Returns smooth random maps (count, height, width) of 0..1, the control for every score.

    Args:
        cells: random numbers along each side; between them the map is bilinear, as a class activation map is.
    """
    return heatmap(np.random.default_rng(seed).random((count, cells, cells)), size)


def interval(scores, seed: int = 0) -> tuple[float, float, float]:
    """Returns (mean, low, high) of scores: the 95 % bootstrap interval of the mean over the images.

    Raises:
        ValueError: for fewer than two scores.
    """
    from scipy.stats import bootstrap

    scores = np.asarray(scores, "float64")
    if len(scores) < 2:
        raise ValueError(f"An interval needs at least two scores. Received: {len(scores)}")
    options = {"n_resamples": 2000, "method": "percentile", "random_state": np.random.default_rng(seed)}
    low, high = bootstrap((scores,), np.mean, **options).confidence_interval
    return float(scores.mean()), float(low), float(high)


def deletion(model: keras.Model, images, maps, target=None, *, pixels: int = 224, batch_size: int = 32) -> np.ndarray:
    """Returns the area below the class's probability while the pixels are set to 0, the map's largest first.

    Smaller is better: the pixels that the map names first carry the class.

    Args:
        model, images: as for `kerasnets.explain.grad_cam`.
        maps: of any method, any size; see `heatmap`.
        target: the class, or one for each image. `None` takes the class with the largest logit.
        pixels: how many pixels change in each step.
        batch_size: forward passes at a time.

    Returns:
        float64 (batch,), 0..1: the trapezoid rule over the steps.

    Raises:
        ValueError: for maps that do not fit the images.

    Source: Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421
    """
    images, target = checked(model, images, target)
    target = decided(model, images, target, batch_size)
    return _areas(model, (images, np.zeros_like(images)), maps, target, (pixels, batch_size))


def insertion(model: keras.Model, images, maps, target=None, *, pixels: int = 224, batch_size: int = 32) -> np.ndarray:
    """Returns the area below the class's probability while a blurred image gets back its pixels.

    Pixels with the largest values of the map come first. Larger is better. The blur is a Gaussian of 11 x 11 pixels
    with a standard deviation of 5. Arguments, result and source as `deletion`.
    """
    images, target = checked(model, images, target)
    target = decided(model, images, target, batch_size)
    return _areas(model, (_blurred(images), images), maps, target, (pixels, batch_size))


def completeness(model: keras.Model, images, maps, target=None, *, baseline=0.0, batch_size: int = 32) -> np.ndarray:
    """Returns how far the sum of each map is from the change of the logit between a baseline and the image.

    Args:
        maps: attributions (batch, height, width, channels), such as `integrated_gradients` and `input_x_gradient` give.
        baseline: a number, or an array that broadcasts to an image.

    Returns:
        float64 (batch,): the difference as a share of that change; 0 is complete.

    Source: Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365
    """
    images, target = checked(model, images, target)
    start = np.broadcast_to(np.asarray(baseline, "float32"), images.shape[1:])[None]
    ends, begun = all_logits(model, images, batch_size), all_logits(model, start)[0]
    target = ends.argmax(axis=1) if target is None else target
    change = ends[np.arange(len(images)), target].astype("float64") - begun[target]
    sums = np.asarray(maps, "float64").reshape(len(images), -1).sum(axis=1)
    return np.abs(sums - change) / np.maximum(np.abs(change), 1e-12)


def randomisation(method: Callable, model: keras.Model, images, target=None, *, steps: int = 5, seed: int = 0) -> dict:
    """Makes the weights random, from the classifier down, and returns how much the maps stay the same.

    A method that explains the network must change with its weights. The weights of a layer are shuffled, so that their
    distribution stays. `model` has its own weights again at the end.

    Args:
        method: `(model, images, target) -> maps`, for example `kerasnets.explain.grad_cam`.
        steps: at how many depths to look, evenly over the layers with weights, the classifier first.

    Returns:
        Name of the deepest layer that is still its own, or "all" -> mean rank correlation (Spearman) with the maps of
        the trained network; absolute values are compared. Constant maps have the correlation 0.

    Source: Adebayo et al. 2018, https://arxiv.org/abs/1810.03292
    """
    images, target = checked(model, images, target)
    target = decided(model, images, target)
    layers = list({id(call.layer): call.layer for call in opened_calls(model) if call.layer.weights}.values())[::-1]
    before, generator = heatmap(np.abs(method(model, images, target))), np.random.default_rng(seed)
    kept, found = [layer.get_weights() for layer in layers], {}
    ends = np.unique(np.linspace(1, len(layers), min(steps, len(layers))).round().astype(int))
    try:
        for first, last in zip([0, *ends], ends, strict=False):
            for layer, values in zip(layers[first:last], kept[first:last], strict=True):
                layer.set_weights([generator.permutation(value.ravel()).reshape(value.shape) for value in values])
            after = heatmap(np.abs(method(model, images, target)))
            name = layers[last].name if last < len(layers) else "all"
            found[name] = float(np.mean([_rank_correlation(a, b) for a, b in zip(before, after, strict=True)]))
    finally:
        for layer, values in zip(layers, kept, strict=True):
            layer.set_weights(values)
    return found


def decided(model, images, target, batch_size: int = 32) -> list[int]:
    """Returns the targets; those that nobody gave are the classes with the largest logit."""
    return all_logits(model, images, batch_size).argmax(axis=1).tolist() if target is None else target


def _areas(model, ends: tuple, maps, target, how: tuple[int, int]) -> np.ndarray:
    """Returns the area below the probability while pixels of the second images replace those of the first."""
    (start, end), (pixels, batch_size) = ends, how
    maps = heatmap(maps, start.shape[1:3])
    if len(maps) != len(start):
        raise ValueError(f"There should be a map for each of {len(start)} images. Received: {len(maps)} maps")
    areas = []
    for first, last, one, number in zip(start, end, maps, target, strict=True):
        order = np.argsort(-one.ravel(), kind="stable")
        counts = [*range(0, len(order), pixels), len(order)]
        frames = np.repeat(first[None], len(counts), axis=0)
        flat, goal = frames.reshape(len(counts), len(order), -1), last.reshape(len(order), -1)
        for frame, count in zip(flat, counts, strict=True):
            frame[order[:count]] = goal[order[:count]]
        logits = all_logits(model, frames, batch_size)
        probability = softmax(logits.astype(float), axis=1)[:, number]
        areas.append(np.trapezoid(probability, np.array(counts) / len(order)))
    return np.array(areas)


def _blurred(images: np.ndarray) -> np.ndarray:
    """Returns the images behind a Gaussian blur, mirrored at the edges."""
    from scipy import ndimage

    reach = (_KERNEL - 1) / 2 / _SIGMA
    return ndimage.gaussian_filter(images, (0, _SIGMA, _SIGMA, 0), truncate=reach, mode="reflect")


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    from scipy import stats

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
