"""Guided backpropagation and the deconvnet, as gradients with another rule for ReLUs.

Every ReLU and ReLU6 that TensorFlow runs gets the rule, whichever way Keras calls it: as a layer, as an activation of
another layer, as `keras.ops.relu`, in a nested model or inside a layer of its own. What cannot get it is refused.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from kerasnets.explain.network import batches, checked, chosen, clear_about_memory
from kerasnets.explain.saliency import connected, values_at
from kerasnets.graph.walk import described, opened_calls

# Keras computes these with a ReLU6 that belongs to a gate and is no rectifier of features.
_GATES = ("hard_sigmoid", "hard_silu", "hard_swish", "HardSigmoid", "HardSilu")
_RECTIFIERS = ("Relu", "Relu6")


def guided(model: keras.Model, images, target=None, layer: str | None = None, *, batch_size: int = 16) -> np.ndarray:
    """Returns the gradient of a logit in which ReLUs pass positive gradients at their open places only.

    ReLU6 is open between 0 and 6. Other activations and all other layers have their ordinary gradient.

    Args:
        model, images, target, layer, batch_size: as for `kerasnets.explain.gradient`.

    Returns:
        float32 (batch, height, width, channels).

    Raises:
        ValueError: as `gradient`, and for a model without ReLUs or with one that cannot be changed: a leaky one, one
            with a threshold, or one inside a compiled function.

    Source: Springenberg et al. 2014, section 3.4, https://arxiv.org/abs/1412.6806
    """
    images, target = checked(model, images, target, layer)
    return _backward(model, images, target, layer, ("KerasnetsGuided", batch_size))


def gradient_deconvnet(model, images, target, layer, batch_size: int) -> np.ndarray:
    """Returns the deconvnet as a gradient: ReLUs pass positive gradients, whatever the forward pass was.

    From a layer inside, the signal begins with the activation itself; from a logit it begins with 1.
    """
    return _backward(model, images, target, layer, ("KerasnetsDeconvnet", batch_size))


@tf.RegisterGradient("KerasnetsGuided")
def _guided_rule(operation, upstream):
    x = operation.inputs[0]
    is_open = x > 0
    if operation.type == "Relu6":
        is_open = is_open & (x < 6)
    return tf.where(is_open & (upstream > 0), upstream, tf.zeros_like(upstream))


@tf.RegisterGradient("KerasnetsDeconvnet")
def _deconvnet_rule(operation, upstream):
    return tf.nn.relu(upstream)


def _backward(model, images, target, layer, how: tuple[str, int]) -> np.ndarray:
    rule, batch_size = how
    check_rectifiers(model)

    def around(own):
        return _plain(own) if _is_gate(own) else _ruled(rule)

    @tf.function(autograph=False)
    def compute(x, targets):
        values = values_at(model, x, layer, around)
        score = tf.gather(values, targets, axis=1, batch_dims=1)
        start = score if layer is not None and rule == "KerasnetsDeconvnet" else tf.ones_like(score)
        return connected(tf.gradients(score, x, grad_ys=[start])[0], layer)

    maps = []
    with clear_about_memory(batch_size):
        for part in batches(len(images), batch_size):
            x = tf.constant(images[part])
            picked = chosen(values_at(model, x, layer), target, part.start)[1]
            if not maps:
                _check_graph(model, compute.get_concrete_function(x, picked).graph.as_graph_def())
            maps.append(compute(x, picked).numpy())
    return np.concatenate(maps)


def _ruled(rule: str):
    graph = tf.compat.v1.get_default_graph()
    return graph.gradient_override_map(dict.fromkeys(_RECTIFIERS, rule))


def _plain(layer):
    return contextlib.nullcontext()


def _is_gate(layer) -> bool:
    names = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")
    return any(name in _GATES for name in names)


def check_rectifiers(model: keras.Model) -> None:
    """Checks that every rectifier of a model is a ReLU or a ReLU6.

    Raises:
        ValueError: for a leaky one, or one with a threshold or another limit, with the layer's name.
    """
    for call in opened_calls(model):
        layer, kind = call.layer, type(call.layer).__name__
        options = [getattr(layer, key, None) for key in ("negative_slope", "threshold")]
        other = kind == "ReLU" and (any(options) or layer.max_value not in (None, 6))
        name = getattr(getattr(layer, "activation", None), "__name__", "")
        if other or "leaky" in f"{kind} {name}".lower() or kind == "PReLU":
            raise ValueError(
                "Guided backpropagation and the deconvnet know ReLU and ReLU6, without slope or threshold. "
                f"Received: {described(layer)}"
            )


def _check_graph(model, graph) -> None:
    """Checks that every ReLU of a traced graph got the rule.

    Raises:
        ValueError: for a graph without one, or with one inside a function, by the function's name.
    """
    ruled = [node for node in graph.node if node.op in _RECTIFIERS and "_gradient_op_type" in node.attr]
    library = {function.signature.name: function.node_def for function in graph.library.function}
    inside = [name for name, nodes in library.items() if any(node.op in _RECTIFIERS for node in nodes)]
    if inside:
        callers = [node.name for node in graph.node if node.attr["f"].func.name in inside]
        raise ValueError(
            "A ReLU inside a compiled function keeps its own gradient; call it without tf.function. "
            f"Received: {described(model)}, at {(callers or inside)[0]!r}"
        )
    if not ruled:
        raise ValueError(
            "Guided backpropagation and the deconvnet change the gradient of ReLUs; use gradient or grad_cam. "
            f"Received: {described(model)}, which has none"
        )
