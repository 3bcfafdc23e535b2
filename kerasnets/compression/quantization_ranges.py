"""Ranges of activations from images: those that lose least to rounding and clipping, on as many images as it takes."""

from collections.abc import Iterator

import keras
import numpy as np

from kerasnets.compression.quantization import set_rounding
from kerasnets.graph.walk import calls
from kerasnets.layers.fake_quantize import FakeQuantize

_BINS = 2048
# Values that are taken of a tensor of one image. The smallest and the largest value are of all.
_TAKEN = 4096
# Shares of the whole range that are tried for each end.
_SHARES = np.linspace(1.0, 0.3, 36)
_BATCH = 16
# Ranges have settled when `_MORE` further images change them by less than this share of their widths, on average.
SETTLED = 0.01
_MORE = 64


class Values:
    """What is known of a tensor: its extremes, and a histogram of values between them."""

    def __init__(self):
        self.low = self.high = 0.0
        self.counts = np.zeros(_BINS)

    def add(self, batch: np.ndarray) -> None:
        """Counts the values of a batch (images, ...)."""
        low, high = min(self.low, float(batch.min())), max(self.high, float(batch.max()))
        if (low, high) != (self.low, self.high):
            old, centres = self.counts, self.centres()
            self.low, self.high = low, high
            self.counts = np.histogram(centres, _BINS, (low, high), weights=old)[0]
        flat = batch.reshape(len(batch), -1)
        taken = flat[:, :: max(1, flat.shape[1] // _TAKEN)]
        self.counts += np.histogram(taken, _BINS, (self.low, self.high))[0]

    def centres(self) -> np.ndarray:
        """Returns the middle of each bin."""
        edges = np.linspace(self.low, self.high, _BINS + 1)
        return (edges[1:] + edges[:-1]) / 2

    def best_range(self, steps: int = 255) -> tuple[float, float]:
        """Returns the range with the smallest mean squared error of rounding to `steps` steps and clipping."""
        found = (np.inf, self.low, self.high)
        for low in [self.low * share for share in _SHARES] if self.low < 0 else [0.0]:
            for high in [self.high * share for share in _SHARES] if self.high > 0 else [0.0]:
                found = min(found, (self._error(low, high, steps), low, high))
        return found[1:]

    def _error(self, low: float, high: float, steps: int) -> float:
        if high <= low:
            return np.inf
        centres, step = self.centres(), (high - low) / steps
        clipped = centres - np.clip(centres, low, high)
        # A value inside is rounded to the next step: the square of an error spread evenly over one.
        return float(self.counts @ np.where(clipped == 0, step**2 / 12, clipped**2))


def calibrate(model: keras.Model, images: np.ndarray, *, by_error: bool = True) -> int:
    """Finds the ranges of a quantisation-aware network from images, and returns how many images it took.

    Args:
        model: its ranges are set. Its rounding is on afterwards.
        images: normalised, (images, height, width, channels). Images after the ranges have settled are not used.
        by_error: take the range of the smallest mean squared error, instead of the smallest and the largest value. The
            scores before the probabilities keep the whole range in both cases.
    """
    found = [(call.layer, call.inputs[0]) for call in calls(model) if isinstance(call.layer, FakeQuantize)]
    layers, tensors = zip(*((layer, tensor) for layer, tensor in found if layer.fixed is None), strict=True)
    values = {layer.name: Values() for layer in layers}
    taps = keras.Model(model.inputs, list(tensors))
    set_rounding(model, False)
    whole = {layers[0].name, layers[-1].name}
    ranges, used = None, 0
    for batch in _batches(images):
        used += len(batch)
        for layer, output in zip(layers, taps(batch, training=False), strict=True):
            values[layer.name].add(np.asarray(output))
        if used % _MORE and used < len(images):
            continue
        before = ranges
        ranges = [
            seen.best_range() if by_error and name not in whole else (seen.low, seen.high)
            for name, seen in values.items()
        ]
        if before and _change(before, ranges) < SETTLED:
            break
    for layer, (low, high) in zip(layers, ranges, strict=True):
        layer.set_range(low, high)
    set_rounding(model, True)
    return used


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))


def _change(before: list, after: list) -> float:
    """Returns how much the ranges moved, as a mean share of their widths."""
    old, new = np.array(before), np.array(after)
    return float(np.mean(np.abs(old - new).max(1) / np.maximum(new[:, 1] - new[:, 0], 1e-12)))
