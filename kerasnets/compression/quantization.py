"""Quantisation-aware training: a network that computes what its int8 TFLite file will compute, and can be trained so.

    model = kerasnets.quantization_aware(trained)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(images, labels)
    kerasnets.export(model, "tflite-int8", preprocessing=..., calibrate=images)

`layers/fake_quantize.py` rounds, and `quantization_graph.py` says where.

Sources: Jacob et al. 2018, https://arxiv.org/abs/1712.05877; Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342
"""

import keras

from kerasnets.compression.quantization_graph import (
    FIXED,
    HARD_SIGMOID,
    HARD_SILU,
    LINEAR,
    RELU,
    SILU,
    Plan,
    activation_of,
    plan,
)
from kerasnets.graph.walk import deep_recursion, functional, producer, trace
from kerasnets.layers.backend import ON_TENSORFLOW
from kerasnets.layers.fake_quantize import (
    ROUNDING,
    FakeQuantize,
    QuantizedActivation,
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    QuantizedGroupedConv2D,
)
from kerasnets.layers.grouped_conv import GroupedConv2D
from kerasnets.layers.network import Network, carried
from kerasnets.registry import did_you_mean

_PLAIN = {
    QuantizedConv2D: keras.layers.Conv2D,
    QuantizedGroupedConv2D: GroupedConv2D,
    QuantizedDepthwiseConv2D: keras.layers.DepthwiseConv2D,
    QuantizedDense: keras.layers.Dense,
}


def quantization_aware(model: keras.Model, *, keep_float=()) -> keras.Model:
    """Returns a copy of a network that rounds weights and activations as its int8 TFLite file does.

    It has the weights of `model`, under the same names, and ranges of activations, which its training finds. Kernels
    are rounded symmetrically for each output channel, activations to 256 values for each tensor: after a convolution
    with its normalisation and ReLU, after an addition with its ReLU, never between. Training works with batch
    normalisation as it is. In the last epochs, freeze it (`freeze_statistics`): it then is what is folded.

    Args:
        model: a functional model in float32, best a trained one. It is not changed.
        keep_float: names of layers whose kernels stay in float.

    Raises:
        ValueError: for a model of mixed precision, a layer that holds other layers, or a name that it does not have.
    """
    if not ON_TENSORFLOW:
        raise ValueError(
            "`quantization_aware` needs Keras's TensorFlow backend (KERAS_BACKEND=tensorflow). "
            f"Received: backend={keras.backend.backend()!r}"
        )
    policies = {layer.compute_dtype for layer in model.layers}
    if policies - {"float32"}:
        raise ValueError(
            "Quantisation-aware training works in float32 only; build the network with the policy float32. "
            f"Received: {model.name!r}, which computes in {', '.join(sorted(policies))}"
        )
    if is_quantization_aware(model):
        raise ValueError(f"The network is quantised already. Received: model={model.name!r}")
    graph = functional(model)
    _check_names(graph, keep_float)
    with deep_recursion():
        twin = _rebuilt(graph, plan(graph, keep_float))
    copy_weights(model, twin)
    twin.preprocessing = carried(model)
    return twin


def is_quantization_aware(model: keras.Model) -> bool:
    """Tells whether a model comes from `quantization_aware`."""
    return any(isinstance(layer, FakeQuantize) for layer in model.layers)


def without_rounding(model: keras.Model) -> keras.Model:
    """Returns a quantisation-aware network as a plain one, with weights of its own: it computes in float."""
    graph, made = functional(model), {}

    def around(layer):
        if isinstance(layer, FakeQuantize):
            return lambda tensors, **options: tensors
        if layer.name not in made:
            made[layer.name] = _plain(layer)
        return made[layer.name]

    inputs = keras.Input(model.input_shape[1:], model.input_shape[0], name=producer(graph.inputs[0]).name)
    with deep_recursion():
        twin = Network(inputs, trace(graph, inputs, around), name=model.name)
    copy_weights(model, twin)
    twin.preprocessing = carried(model)
    return twin


def _plain(layer):
    if isinstance(layer, QuantizedActivation):
        return keras.layers.Activation(layer.activation_name, name=layer.name)
    return _PLAIN.get(type(layer), type(layer)).from_config(layer.get_config())


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights of `source` that `target` has too, by their paths."""
    values = {weight.path: weight for weight in source.weights}
    for weight in target.weights:
        if weight.path in values:
            weight.assign(values[weight.path])


def set_rounding(model: keras.Model, active: bool) -> None:
    """Switches all rounding on or off. Trace the training step again afterwards."""
    for layer in model.layers:
        if isinstance(layer, ROUNDING):
            layer.active = active


def freeze_statistics(model: keras.Model) -> None:
    """Freezes batch normalisation, with its moving statistics, and the ranges. Compile the model afterwards."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        if isinstance(layer, FakeQuantize):
            layer.observing = False


def _check_names(graph: keras.Model, keep_float) -> None:
    names = [layer.name for layer in graph.layers if isinstance(layer, LINEAR)]
    if isinstance(keep_float, str) or (odd := [name for name in keep_float if name not in names]):
        wrong = keep_float if isinstance(keep_float, str) else odd[0]
        raise ValueError(
            "`keep_float` should be a list of convolutions and dense layers of the network."
            f"{did_you_mean(wrong, names)} Received: {wrong!r}"
        )


def _rebuilt(graph: keras.Model, what: Plan) -> keras.Model:
    inputs = [keras.Input(each.shape[1:], each.shape[0], name=producer(each).name) for each in graph.inputs]
    starts = [FakeQuantize(name=f"{producer(each).name}.range")(each) for each in inputs]
    made = {}

    def around(layer):
        if layer.name not in made:
            made[layer.name] = _layers(layer, what)
        return lambda tensors, **options: _called(made[layer.name], tensors, options)

    outputs = trace(graph, starts if len(starts) > 1 else starts[0], around)
    return Network(inputs if len(inputs) > 1 else inputs[0], outputs, name=graph.name)


def _called(layers: list, tensors, options: dict):
    first, *rest = layers
    outputs = first(tensors, **options)
    for layer in rest:
        outputs = layer(outputs)
    return outputs


def _layers(layer, what: Plan) -> list:
    """Returns the layers that replace a layer, each called with the output of the one before."""
    config, name, kind = layer.get_config(), layer.name, activation_of(layer)
    split = isinstance(layer, LINEAR) and kind not in (None, RELU)
    last = f"{name}.{kind}" if split else name
    ranges = [FakeQuantize(FIXED.get(kind), name=f"{last}.range")] if name in what.ranges else []
    if not isinstance(layer, LINEAR):
        return [_activation(name, kind, config["dtype"]) or layer.__class__.from_config(config), *ranges]
    if split:
        config["activation"] = "linear"
    twin = (_quantized_class(layer) if name in what.kernels else layer.__class__).from_config(config)
    if not split:
        return [twin, *ranges]
    activation = _activation(last, kind, config["dtype"]) or keras.layers.Activation(layer.activation, name=last)
    return [twin, FakeQuantize(name=f"{name}.range"), activation, *ranges]


def _activation(name: str, kind: str | None, dtype):
    """Returns the layer of an activation of several operators; `None` for any other."""
    several = kind in (SILU, HARD_SILU, HARD_SIGMOID)
    return QuantizedActivation(kind, name=name, dtype=dtype) if several else None


def _quantized_class(layer):
    if isinstance(layer, GroupedConv2D):
        return QuantizedGroupedConv2D
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return QuantizedDepthwiseConv2D
    return QuantizedDense if isinstance(layer, keras.layers.Dense) else QuantizedConv2D
