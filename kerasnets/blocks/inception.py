"""What Inception networks are put together from: normalised convolutions, chains of them, the pooling beside them, the auxiliary head.

A network's `spec` says how all its convolutions are made, in these columns:

* `gamma`: whether batch normalisation scales as well as shifts. The authors' released code (TF-slim) has no scale, because the next
  convolution can do its work; the ports to PyTorch have one.
* `momentum`: of batch normalisation's moving averages.
* `counts_padding`: whether the average pooling inside the modules counts the zeros around the map (torchvision) or not (TF-slim).
* `width`: a factor on all numbers of filters, 1 in every published network.
"""

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv
from kerasnets.blocks.head import output


def he_truncated():
    """The initialiser of TF-slim's Inception networks: variance 2 / fan-in, truncated at two deviations."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal")


def width(spec, filters: int) -> int:
    """Number of filters after the network's width factor, at least four."""
    return filters if spec.width == 1 else max(4, round(filters * spec.width))


def unit(x, spec, filters, kernel=1, stride=1, padding=None, *, name, initializer=None):
    """Convolution, batch normalisation and ReLU: the layers `<name>.conv`, `<name>.bn` and `<name>`.

    Without `padding` it is `"same"` at stride 1 and `"valid"` at stride 2, the rule of all these networks but for their stems.
    """
    padding = padding or ("same" if stride == 1 else "valid")
    x = conv(
        x, width(spec, filters), kernel, stride, padding=padding, initializer=initializer or he_truncated(), name=f"{name}.conv"
    )  # fmt: skip
    x = batch_norm(x, epsilon=1e-3, momentum=spec.momentum, scale=spec.gamma, name=f"{name}.bn")
    return activate(x, name=name)


def chain(x, spec, *units, name, numbered=".0"):
    """One branch of a module: units written as (filters, kernel, stride, padding), the last three as they are needed.

    They are called `<name>.0`, `<name>.1`, ... (`numbered="_1"`: `<name>_1`, `<name>_2`, ...), one alone just `<name>`.
    """
    mark, first = numbered[0], int(numbered[1:])
    for i, columns in enumerate(units, first):
        x = unit(x, spec, *columns, name=name if len(units) == 1 else f"{name}{mark}{i}")
    return x


def join(*branches, name):
    """Concatenates branches of equal height and width along the channels."""
    return keras.layers.Concatenate(name=name)(list(branches))


def average_pool(x, spec, *, name):
    """3x3 averages that keep the size."""
    if not spec.counts_padding:
        return keras.layers.AveragePooling2D(3, 1, padding="same", name=name)(x)
    x = keras.layers.ZeroPadding2D(1, name=f"{name}.pad")(x)
    return keras.layers.AveragePooling2D(3, 1, name=name)(x)


def max_pool(x, *, name):
    """3x3 maxima, stride 2, whole windows only: the parallel branch of every reduction."""
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)


def auxiliary_head(x, name, classes, activation, spec):
    """The auxiliary classifier of Inception v3, v4 and Inception-ResNet v2: (batch, 17, 17, channels) -> (batch, classes).

    5x5 averages with stride 3, a 1x1 convolution to 128 channels, a 5x5 one to 768 that sees the whole map, a dense layer. On a map
    smaller than that the two 5x5 windows shrink to it, as in the released code; on a larger one the last map is averaged.
    """
    near_zero = keras.initializers.TruncatedNormal
    x = keras.layers.AveragePooling2D(_at_most(5, x), 3, name="AuxLogits.avgpool")(x)
    x = unit(x, spec, 128, name="AuxLogits.conv0")
    x = unit(x, spec, 768, _at_most(5, x), padding="valid", initializer=near_zero(stddev=0.01), name="AuxLogits.conv1")
    x = keras.layers.GlobalAveragePooling2D(name="AuxLogits.pool")(x)
    return output(x, classes, activation, initializer=near_zero(stddev=0.001), name="AuxLogits.fc")


def _at_most(size, x):
    return tuple(size if known is None else min(size, known) for known in x.shape[1:3])
