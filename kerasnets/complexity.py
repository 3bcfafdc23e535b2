"""What a network costs, read off its graph: parameters, multiply-adds, activations, strides and receptive fields.

Multiply-adds are those of convolutions and dense layers (no bias, normalisation, pooling or activation), the
convention of the papers' tables. Works on every functional `keras.Model`, ours or not.
"""

import dataclasses
import math

import keras


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """One call of one layer: its name and kind, output shape without the batch, parameters and multiply-adds."""

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
        total_parameters: all weights, moving statistics included (Keras's `count_params()`).
        multiply_adds: of convolutions and dense layers.
        activations: number of output elements of convolutions and dense layers.
        layers: a `LayerCost` a layer, in the order of the graph.
    """

    parameters: int
    total_parameters: int
    multiply_adds: int
    activations: int
    layers: tuple[LayerCost, ...]


def complexity(model: keras.Model) -> Complexity:
    """Counts a model whose input height and width are known.

    Raises:
        ValueError: when the input size is not known, or the model is not a functional one.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs or ()]
    if not shapes or any(None in shape[1:] for shape in shapes):
        raise ValueError(
            f"`complexity` needs a functional model with a known input size. Received: input shapes {shapes}"
        )
    rows = [_layer_cost(operation, node) for operation, node in _inner_operations(model)]
    weighted = [row for row in rows if row.multiply_adds]
    return Complexity(
        parameters=sum(math.prod(v.shape) for v in model.trainable_variables),
        total_parameters=model.count_params(),
        multiply_adds=sum(row.multiply_adds for row in rows),
        activations=sum(math.prod(row.output_shape) for row in weighted),
        layers=tuple(rows),
    )


def operations(model: keras.Model):
    """Yields (layer, node) for every call in the graph, in order; a node has `input_tensors` and `outputs`."""
    for nodes in (model._nodes_by_depth[depth] for depth in sorted(model._nodes_by_depth, reverse=True)):
        for node in nodes:
            if not isinstance(node.operation, keras.layers.InputLayer):
                yield node.operation, node


def _inner_operations(model: keras.Model):
    """Yields what `operations` does, and before a layer with a residual branch the calls in that branch."""
    for layer, node in operations(model):
        if hasattr(layer, "branch"):
            yield from _inner_operations(layer.branch)
        yield layer, node


def _layer_cost(layer, node) -> LayerCost:
    source, target = node.input_tensors[0].shape, node.outputs[0].shape
    return LayerCost(
        layer.name,
        type(layer).__name__,
        tuple(target[1:]),
        0 if hasattr(layer, "branch") else sum(math.prod(v.shape) for v in getattr(layer, "trainable_variables", ())),
        multiply_adds(layer, source, target),
    )


def multiply_adds(layer, source, target) -> int:
    """Multiply-adds of one call; a layer of our own that is not a convolution or dense layer says them itself."""
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(source, target)
    if isinstance(layer, keras.layers.SeparableConv2D):
        kernels = (layer.depthwise_kernel.shape, layer.pointwise_kernel.shape)
        return math.prod(target[1:3]) * sum(math.prod(shape) for shape in kernels)
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        return math.prod(target[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return math.prod(source[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(target[1:-1]) * math.prod(layer.kernel.shape)
    return 0


@dataclasses.dataclass(frozen=True)
class Reach:
    """What one feature map sees of the input, in input pixels.

    Attributes:
        stride: distance between neighbouring positions.
        receptive_field: side of the square that one position depends on.
    """

    stride: int = 1
    receptive_field: int = 1


def reach(model: keras.Model) -> dict[str, Reach]:
    """Returns layer name -> `Reach` for every layer that gives a feature map (batch, height, width, channels).

    Where branches meet, the one that sees most counts; what comes after global pooling has no position and is left out.
    """
    return _reach(model, Reach())[0]


def _reach(model: keras.Model, start: Reach) -> tuple[dict[str, Reach], dict[int, Reach]]:
    """Layer name -> `Reach` and id of a tensor -> `Reach`, where the model's inputs see `start`."""
    found, named = {id(tensor): start for tensor in model.inputs}, {}
    for layer, node in operations(model):
        sources = [found[id(t)] for t in node.input_tensors if id(t) in found]
        output = node.outputs[0]
        if not sources or len(output.shape) != 4 or _is_global(layer):
            continue
        if hasattr(layer, "branch"):
            inner, tensors = _reach(layer.branch, sources[-1])
            named |= inner
            sources.append(tensors[id(layer.branch.outputs[0])])
        stride, field = max(s.stride for s in sources), max(s.receptive_field for s in sources)
        step, window = _geometry(layer)
        named[layer.name] = found[id(output)] = Reach(stride * step, field + (window - 1) * stride)
    return named, found


def _is_global(layer) -> bool:
    return "Global" in type(layer).__name__


def _geometry(layer) -> tuple[int, int]:
    """(stride, side of the window) of a layer; (1, 1) for one that works position by position."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None) or 1
    stride = getattr(layer, "strides", None) or getattr(layer, "stride", None) or 1
    dilation = getattr(layer, "dilation_rate", None) or 1
    kernel, stride, dilation = (max(v) if isinstance(v, (tuple, list)) else v for v in (kernel, stride, dilation))
    return stride, dilation * (kernel - 1) + 1
