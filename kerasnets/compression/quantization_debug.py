"""Which layers an int8 file loses its accuracy in: the error that the rounding of each adds alone."""

from typing import NamedTuple

import keras
import numpy as np

from kerasnets.compression.quantization import set_rounding
from kerasnets.graph.walk import calls
from kerasnets.layers.fake_quantize import ROUNDING, FakeQuantize


class LayerError(NamedTuple):
    """What the rounding of one layer, and of no other, does to the probabilities.

    Attributes:
        layer: its name; `"all"` for all layers together.
        kernel: the root mean squared change of the probabilities by its kernel, 0 for a layer without one.
        output: that by the range of its output, 0 if it has none of its own.
        agreement: the share of the images whose top-1 class does not change by both.
    """

    layer: str
    kernel: float
    output: float
    agreement: float

    @property
    def error(self) -> float:
        """The larger of the two errors."""
        return max(self.kernel, self.output)


def layer_errors(model: keras.Model, images: np.ndarray) -> list[LayerError]:
    """Returns the error of each layer, the largest first, and of all together in front.

    Args:
        model: a quantisation-aware network with ranges. Its rounding is on afterwards.
        images: normalised; 64 are enough to find the worst layers.
    """
    set_rounding(model, False)
    exact = _outputs(model, images)

    def alone(parts) -> tuple[float, float]:
        for part in parts:
            part.active = True
        found = _outputs(model, images)
        for part in parts:
            part.active = False
        return float(np.sqrt(np.mean((found - exact) ** 2))), float(np.mean(found.argmax(-1) == exact.argmax(-1)))

    rows = []
    for name, parts in _operators(model).items():
        ranges = [part for part in parts if isinstance(part, FakeQuantize)]
        kernels = [part for part in parts if part not in ranges]
        kernel, output = (alone(each)[0] if each else 0.0 for each in (kernels, ranges))
        rows.append(LayerError(name, kernel, output, alone(parts)[1]))
    set_rounding(model, True)
    found = _outputs(model, images)
    whole = float(np.sqrt(np.mean((found - exact) ** 2)))
    together = LayerError("all", whole, whole, float(np.mean(found.argmax(-1) == exact.argmax(-1))))
    return [together, *sorted(rows, key=lambda row: -row.error)]


def worst_layers(rows: list[LayerError], count: int = 3) -> list[str]:
    """Returns the layers whose kernels lose most, to leave in float: each loses a tenth of the whole error or more."""
    together, *single = rows
    found = sorted((row for row in single if row.kernel > 0.1 * together.error), key=lambda row: -row.kernel)
    return [row.layer for row in found[:count]]


def _operators(model: keras.Model) -> dict[str, list]:
    """Returns layer -> its rounding parts. A range belongs to the layer with a kernel before it."""
    made, owners = {}, {}
    for layer, inputs, outputs in calls(model):
        before = [owners.get(id(tensor)) for tensor in inputs]
        owner = before[0] if len(before) == 1 else None
        if isinstance(layer, FakeQuantize):
            owner = owner or layer.name.removesuffix(".range")
            made.setdefault(owner, []).append(layer)
            owner = None
        elif isinstance(layer, ROUNDING):
            owner = layer.name
            made.setdefault(owner, []).append(layer)
        owners.update((id(tensor), owner) for tensor in outputs)
    return made


def _outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    batches = (images[start : start + 32] for start in range(0, len(images), 32))
    return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])
