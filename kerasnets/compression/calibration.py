"""What the layers of a network see: the second moments of their inputs on real images."""

import keras
import numpy as np

from kerasnets.data.images.per_image import normalise
from kerasnets.graph.walk import inputs_of
from kerasnets.weights.mapping import WeightTarget, weight_targets

# Of a larger kernel only the diagonal of the moments is kept.
LARGEST = 2304
_PLACES = 2048  # places of a batch that are looked at


def kernels(model: keras.Model) -> dict[str, WeightTarget]:
    """Returns the trainable kernels of a model: its weights of two or more axes, in the order of the graph."""
    targets = weight_targets(model).items()
    return {name: target for name, target in targets if target.variable.trainable and len(target.shape) > 1}


def is_plain(layer) -> bool:
    """Whether the outputs of a layer are sums over patches of its input, weighted by its kernel."""
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2DTranspose | keras.layers.SeparableConv2D):
        return False
    if isinstance(layer, keras.layers.Conv2D):
        return layer.groups == 1 and tuple(layer.dilation_rate) == (1, 1) and len(layer.kernel.shape) == 4
    return isinstance(layer, keras.layers.Dense)


def input_moments(model: keras.Model, images: np.ndarray, preprocessing, batch_size: int = 25) -> dict[str, tuple]:
    """Returns the mean (inputs,) and the second moments (inputs, inputs) of what each plain layer's kernel sees.

    Args:
        model: with one output.
        images: (examples, size, size, channels) of 0-255.
        preprocessing: of the model.

    Returns:
        `{name of the kernel: (mean, moments)}`; `inputs` is height * width * channels of the kernel, in its order. The
        moments of a kernel of more than `LARGEST` inputs have one axis: they are the diagonal.
    """
    found = {name: target for name, target in kernels(model).items() if is_plain(target.layer)}
    probe = keras.Model(model.inputs, [inputs_of(target.layer)[0] for target in found.values()])
    sums, draw = {}, np.random.default_rng(0)
    for start in range(0, len(images), batch_size):
        values = probe(normalise(images[start : start + batch_size], preprocessing), training=False)
        for (name, target), value in zip(found.items(), values if len(found) > 1 else [values], strict=True):
            rows = _patches(target.layer, value, draw)
            second = rows.T @ rows if rows.shape[1] <= LARGEST else np.square(rows).sum(0)
            count, mean, moments = sums.get(name, (0, 0.0, 0.0))
            sums[name] = (count + len(rows), mean + rows.sum(0, dtype=np.float64), moments + second.astype(np.float64))
    return {name: (mean / count, moments / count) for name, (count, mean, moments) in sums.items()}


def _patches(layer, value, draw) -> np.ndarray:
    """Returns what the kernel sees at some places of a batch, (places, inputs)."""
    if isinstance(layer, keras.layers.Dense):
        return np.asarray(value).reshape(-1, value.shape[-1])
    height, width, channels = layer.kernel.shape[:3]
    value = np.asarray(value)
    if layer.padding == "same":
        above, left = (height - 1) // 2, (width - 1) // 2
        value = np.pad(value, ((0, 0), (above, height - 1 - above), (left, width - 1 - left), (0, 0)))
    rows, columns = value.shape[1] - height + 1, value.shape[2] - width + 1
    count = min(_PLACES, len(value) * rows * columns)
    image, y, x = (draw.integers(limit, size=count) for limit in (len(value), rows, columns))
    near = [value[image, y + i, x + j] for i in range(height) for j in range(width)]
    return np.stack(near, axis=1).reshape(count, height * width * channels)
