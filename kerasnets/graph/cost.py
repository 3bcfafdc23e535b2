"""Costs of a network, read off its graph: parameters, multiply-adds, activations, strides and receptive fields.

Multiply-adds are those of convolutions and dense layers, as in the papers' tables; biases, normalisation, pooling and
activations are not counted. Every functional `keras.Model` can be read, ours or not. The name of a layer in a nested
model is `<nested model>/<layer>`.
"""

import dataclasses
import math
from typing import NamedTuple

import keras

from kerasnets.graph.walk import calls, described, functional, nested_layers, trace

_CONVOLUTIONS = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D,
)  # fmt: skip
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One call of one layer. `kind` is the name of its class, `output_shape` has no batch axis."""

    name: str
    kind: str
    output_shape: tuple
    parameters: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Cost of a model for one image.

    Attributes:
        parameters: number of trainable weights.
        total_parameters: number of all weights, moving statistics included (Keras's `count_params()`).
        multiply_adds: those of convolutions and dense layers.
        activations: number of output elements of convolutions and dense layers.
        layers: one `LayerCost` for each call of a layer, in the order of the graph.
    """

    parameters: int
    total_parameters: int
    multiply_adds: int
    activations: int
    layers: tuple[LayerCost, ...]


def complexity(model: keras.Model) -> Complexity:
    """Counts the cost of a model whose input height and width are known.

    Raises:
        ValueError: for a model without a known input size or that is not functional, or for a layer with layers inside
            that cannot be counted.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs or ()]
    if not shapes or any(None in shape[1:] for shape in shapes):
        raise ValueError(
            f"`complexity` needs a functional model with a known input size. Received: input shapes {shapes}"
        )
    layers = [layer for call in calls(model) for layer in _costs(*call)]
    return Complexity(
        parameters=sum(math.prod(v.shape) for v in model.trainable_variables),
        total_parameters=model.count_params(),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        activations=sum(math.prod(layer.output_shape) for layer in layers if layer.multiply_adds),
        layers=tuple(layers),
    )


def _costs(layer, sources, targets, place: str = "") -> list[LayerCost]:
    """Returns the costs of one call: one, or for a nested model or a residual branch those of the layers inside.

    A residual branch ends in one more without cost, for the addition.
    """
    if isinstance(layer, keras.Model):
        return _nested_costs(layer, sources, f"{place}{layer.name}/")
    if hasattr(layer, "branch"):
        total = LayerCost(place + layer.name, type(layer).__name__, tuple(targets[0].shape[1:]), 0, 0)
        return [*_nested_costs(layer.branch, sources[-1:], place), total]
    within = nested_layers(layer) if isinstance(layer, keras.Layer) else ()
    if not hasattr(layer, "multiply_adds") and any(inner.weights for inner in within):
        raise ValueError(f"Only the layers of functional models can be counted. Received: {described(layer)}")
    target = targets[0].shape
    parameters = sum(math.prod(v.shape) for v in getattr(layer, "trainable_variables", ()))
    cost = multiply_adds(layer, sources[0].shape, target)
    return [LayerCost(place + layer.name, type(layer).__name__, tuple(target[1:]), parameters, cost)]


def _nested_costs(model: keras.Model, inputs, place: str) -> list[LayerCost]:
    """Returns the costs of a nested model's layers in this call, whose inputs may differ in size from its own."""
    found = []
    if [tuple(tensor.shape) for tensor in functional(model).inputs] == [tuple(tensor.shape) for tensor in inputs]:
        return [cost for call in calls(model) for cost in _costs(*call, place)]

    def counting(layer):
        def call(*arguments, **options):
            outputs = layer.compute_output_spec(*arguments, **options)
            flat = (keras.tree.flatten(tensors) for tensors in ((arguments, options), outputs))
            sources, targets = ([t for t in tensors if isinstance(t, keras.KerasTensor)] for tensors in flat)
            found.extend(_costs(layer, sources, targets, place))
            return outputs

        return call

    trace(model, inputs, counting)
    return found


def multiply_adds(layer, source, target) -> int:
    """Returns the multiply-adds of one call. A layer of ours of another kind has a method of this name."""
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(source, target)
    if isinstance(layer, _SEPARABLE):
        kernels = (layer.depthwise_kernel.shape, layer.pointwise_kernel.shape)
        return math.prod(target[1:-1]) * sum(math.prod(shape) for shape in kernels)
    if isinstance(layer, _TRANSPOSED):
        return math.prod(source[1:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (*_CONVOLUTIONS, keras.layers.Dense)):
        return math.prod(target[1:-1]) * math.prod(layer.kernel.shape)
    return 0


@dataclasses.dataclass(frozen=True)
class Reach:
    """What the positions of a feature map see of the image, in pixels of the image.

    Attributes:
        stride: distance between neighbouring positions. It is below 1 for a map that is larger than the image.
        receptive_field: side of the square that one position depends on, the largest where positions differ.
    """

    stride: int | float = 1
    receptive_field: int = 1


class _Map(NamedTuple):
    """The pixels that each position of a map depends on, along one side: its window, (first, last).

    Behind a transposed convolution, neighbouring positions have windows of different sizes. The windows repeat after
    `len(windows)` positions, moved by `step` pixels.
    """

    step: int = 1
    windows: tuple[tuple[int, int], ...] = ((0, 0),)

    def between(self, first: int, last: int) -> tuple[int, int]:
        """Returns the pixels that the positions from `first` to `last` depend on."""
        (turn, phase), (last_turn, last_phase) = divmod(first, len(self.windows)), divmod(last, len(self.windows))
        return self.windows[phase][0] + turn * self.step, self.windows[last_phase][1] + last_turn * self.step

    @property
    def reach(self) -> Reach:
        """The stride and the largest window."""
        whole, rest = divmod(self.step, len(self.windows))
        stride = self.step / len(self.windows) if rest else whole
        return Reach(stride, max(last - first for first, last in self.windows) + 1)


def reach(model: keras.Model) -> dict[str, Reach]:
    """Returns layer name -> `Reach` for every layer whose output is a feature map (batch, height, width, channels).

    A layer that several branches enter has the largest receptive field of them. Layers behind global pooling have no
    positions and are left out.

    Raises:
        ValueError: for a model that is not functional, or has one inside that is not.
    """
    return _reach(model, {id(tensor): _Map() for tensor in model.inputs})


def _reach(model: keras.Model, found: dict[int, _Map], place: str = "") -> dict[str, Reach]:
    """Does the work of `reach`. `found` is id of a tensor -> its map: first of the inputs only, then of all tensors."""
    named = {}
    for layer, inputs, outputs in calls(model):
        sources = [found[id(t)] for t in inputs if id(t) in found]
        output = outputs[0]
        if isinstance(layer, keras.Model):
            inner = _inside(layer, [found.get(id(t)) for t in inputs])
            named |= _reach(layer, inner, f"{place}{layer.name}/")
            taken = zip(outputs, functional(layer).outputs, strict=True)
            found |= {id(tensor): inner[id(own)] for tensor, own in taken if id(own) in inner}
        elif sources and len(output.shape) == 4 and not _is_global(layer):
            if hasattr(layer, "branch"):
                inner = _inside(layer.branch, sources[-1:])
                named |= _reach(layer.branch, inner, place)
                sources.append(inner[id(layer.branch.outputs[0])])
            widest = max(sources, key=lambda source: source.reach.receptive_field)
            found[id(output)] = _map_after(layer, widest)
            named[place + layer.name] = found[id(output)].reach
    return named


def _inside(model: keras.Model, given) -> dict[int, _Map]:
    """Returns id of an input tensor of a nested model -> the map that it is called with."""
    return {id(own): source for own, source in zip(functional(model).inputs, given, strict=True) if source is not None}


def _map_after(layer, source: _Map) -> _Map:
    """Returns the map that a layer makes of another."""
    period = len(source.windows)
    if isinstance(layer, (keras.layers.Conv2DTranspose, keras.layers.UpSampling2D)):
        factor, window = _factor_and_window(layer)
        before = (window - factor) // 2
        ends = [((p + before - window) // factor + 1, (p + before) // factor) for p in range(factor * period)]
        return _Map(source.step, tuple(source.between(min(first, last), last) for first, last in ends))
    stride, window = _stride_and_window(layer)
    after = period // math.gcd(period, stride)
    windows = tuple(source.between(p * stride, p * stride + window - 1) for p in range(after))
    return _Map(source.step * stride * after // period, windows)


def _is_global(layer) -> bool:
    return "Global" in type(layer).__name__


def _factor_and_window(layer) -> tuple[int, int]:
    """Returns (factor, side of the window on the larger map) for a layer that makes a map larger."""
    if isinstance(layer, keras.layers.UpSampling2D):
        factor = max(layer.size)
        return factor, factor if layer.interpolation == "nearest" else 2 * factor
    return max(layer.strides), max(layer.dilation_rate) * (max(layer.kernel_size) - 1) + 1


def _stride_and_window(layer) -> tuple[int, int]:
    """Returns (stride, side of the window) of a layer; (1, 1) for a layer that works on each position alone."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None) or 1
    stride = getattr(layer, "strides", None) or getattr(layer, "stride", None) or 1
    dilation = getattr(layer, "dilation_rate", None) or 1
    kernel, stride, dilation = (max(v) if isinstance(v, (tuple, list)) else v for v in (kernel, stride, dilation))
    return stride, dilation * (kernel - 1) + 1
