"""Structured pruning: remove whole channels and build the smaller network, an ordinary Keras model.

Channels that must go together form a group. Layers that work channel by channel (batch normalisation, depthwise
convolution, pooling, activations) keep the groups of their input. A sum, as of a residual block, joins the groups of
its inputs; a concatenation puts them one after the other. A layer that is not known here keeps all its channels, and
so do the layers before it, the classifier and the input.

The channels with the smallest weights go: the score of a channel is the mean norm of the filters that produce it,
relative to the filters of the same layer (Li et al. 2017, "Pruning filters for efficient convnets", with the L2 norm).
"""

import keras
import numpy as np

from kerasnets.graph.walk import calls
from kerasnets.layers.network import carried

_CHANNEL_WISE = (
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Dropout,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.DepthwiseConv2D,
)
_JOINING = (keras.layers.Add, keras.layers.Multiply, keras.layers.Average, keras.layers.Maximum, keras.layers.Subtract)


class Channels:
    """The channels of all tensors, in groups that are kept or removed together (a union-find structure)."""

    def __init__(self):
        self.parent, self.fixed, self.of_tensor = [], set(), {}

    def new(self, count: int) -> np.ndarray:
        """Returns `count` new channels."""
        start = len(self.parent)
        self.parent += range(start, start + count)
        return np.arange(start, start + count)

    def root(self, channel: int) -> int:
        """Returns the channel that stands for a group."""
        while self.parent[channel] != channel:
            self.parent[channel] = self.parent[self.parent[channel]]
            channel = self.parent[channel]
        return channel

    def join(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Joins the groups of two lists of channels, one to one."""
        for one, other in zip(ours.tolist(), theirs.tolist(), strict=True):
            self.parent[self.root(other)] = self.root(one)

    def fix(self, channels: np.ndarray) -> None:
        """Keeps channels."""
        self.fixed.update(channels.tolist())

    def roots(self, tensor) -> np.ndarray:
        """Returns the groups of a tensor's channels."""
        return np.array([self.root(channel) for channel in self.of_tensor[id(tensor)].tolist()])


def is_narrowable(layer) -> bool:
    """Whether the filters of a layer can be removed one by one."""
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2DTranspose | keras.layers.SeparableConv2D):
        return False
    if isinstance(layer, keras.layers.Conv2D):
        return layer.groups == 1 and type(layer).__module__.startswith("keras.")
    return isinstance(layer, keras.layers.Dense)


def narrowed(model: keras.Model, share: float, *, multiple: int = 8) -> keras.Model:
    """Returns a copy of a model without the least important channels.

    Args:
        model: functional, with one output. Its classifier keeps all classes.
        share: of the channels of each convolution that are removed, 0 to 1.
        multiple: the number of channels that stay is rounded up to a multiple of it.

    Raises:
        ValueError: for another share.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"`share` should be at least 0 and below 1. Received: share={share!r}")
    channels = channels_of(model)
    removed = _removed(model, channels, share, multiple)
    kept = {
        layer.name: [np.array([r not in removed for r in channels.roots(tensor)]) for tensor in (inputs[0], outputs[0])]
        for layer, inputs, outputs in calls(model)
        if inputs and id(inputs[0]) in channels.of_tensor and id(outputs[0]) in channels.of_tensor
    }

    def smaller(layer):
        config = layer.get_config()
        if is_narrowable(layer) and layer.name in kept:
            config["units" if isinstance(layer, keras.layers.Dense) else "filters"] = int(kept[layer.name][1].sum())
        return type(layer).from_config(config)

    result = keras.models.clone_model(model, clone_function=smaller)
    for layer in model.layers:
        if layer.weights:
            result.get_layer(layer.name).set_weights(_cut(layer, *kept.get(layer.name, (None, None))))
    result.preprocessing = carried(model)
    return result


def channels_of(model: keras.Model) -> Channels:
    """Returns the channels of a model's tensors, in groups."""
    channels = Channels()
    for tensor in model.inputs:
        channels.of_tensor[id(tensor)] = found = channels.new(tensor.shape[-1])
        channels.fix(found)
    for layer, inputs, outputs in calls(model):
        if isinstance(layer, keras.layers.InputLayer) or not inputs:
            continue
        before = [channels.of_tensor[id(tensor)] for tensor in inputs]
        channels.of_tensor[id(outputs[0])] = _after(layer, before, inputs, outputs[0], channels)
        for tensor in outputs[1:]:
            channels.of_tensor[id(tensor)] = found = channels.new(tensor.shape[-1])
            channels.fix(found)
    for tensor in model.outputs:
        channels.fix(channels.of_tensor[id(tensor)])
    return channels


def _after(layer, before: list, inputs: list, output, channels: Channels) -> np.ndarray:
    """Returns the channels of a layer's output."""
    count = output.shape[-1]
    if is_narrowable(layer):
        return channels.new(count)
    if isinstance(layer, _CHANNEL_WISE) and count == len(before[0]):
        return before[0]
    if isinstance(layer, _JOINING) and all(len(each) == count for each in before):
        for other in before[1:]:
            channels.join(before[0], other)
        return before[0]
    if isinstance(layer, keras.layers.Concatenate) and layer.axis in (-1, len(output.shape) - 1):
        return np.concatenate(before)
    if isinstance(layer, keras.layers.Flatten | keras.layers.Reshape) and count and count % len(before[0]) == 0:
        return np.tile(before[0], count // len(before[0]))  # channels are the last axis
    found = channels.new(count)
    for each in [*before, found]:
        channels.fix(each)
    return found


def _removed(model: keras.Model, channels: Channels, share: float, multiple: int) -> set[int]:
    """Returns the groups that go."""
    scores, layers = {}, {}
    for layer, _, outputs in calls(model):
        if not is_narrowable(layer):
            continue
        kernel, roots = layer.kernel.numpy(), channels.roots(outputs[0])
        norms = np.sqrt(np.square(kernel.reshape(-1, kernel.shape[-1])).sum(0))
        for root, norm in zip(roots.tolist(), (norms / max(norms.mean(), 1e-12)).tolist(), strict=True):
            scores.setdefault(root, []).append(norm)
            layers.setdefault(root, set()).add(layer.name)
    fixed = {channels.root(channel) for channel in channels.fixed}
    families = {}
    for root in scores:
        families.setdefault(frozenset(layers[root]), []).append(root)
    removed = set()
    for roots in families.values():
        if fixed.isdisjoint(roots):
            stay = min(-(-round((1.0 - share) * len(roots)) // multiple) * multiple or multiple, len(roots))
            removed.update(sorted(roots, key=lambda root: np.mean(scores[root]))[: len(roots) - stay])
    return removed


def _cut(layer, inputs, outputs) -> list[np.ndarray]:
    """Returns the weights of a layer without the channels that go."""
    values = [weight.numpy() for weight in layer.weights]
    if inputs is None or (inputs.all() and outputs.all()):
        return values
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [v[:, :, inputs] if v.ndim == 4 else v[outputs] for v in values]
    if is_narrowable(layer):
        return [v[..., inputs, :][..., outputs] if v.ndim > 1 else v[outputs] for v in values]
    return [v[outputs] if v.shape == outputs.shape else v for v in values]
