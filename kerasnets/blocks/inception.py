"""Parts of Inception networks: normalised convolutions, chains of them, pooling, stem, reduction and auxiliary head.

All convolutions of a network are made as these columns of its `spec` say:

* `gamma`: whether batch normalisation scales as well as shifts. The authors' released code (TF-slim) has no scale,
  because the next convolution can scale too; the ports to PyTorch have one.
* `momentum`: of batch normalisation's moving averages.
* `counts_padding`: whether the average pooling inside the modules counts the zeros around the map (torchvision) or
  not (TF-slim).
* `initializer`: of the convolutions. TF-slim has He et al.'s truncated normal in Inception v3 and v4. For
  Inception-ResNet it names none, so that slim's default applies: Glorot and Bengio's uniform one.
* `width`: a factor on all numbers of filters, 1 in every published network.
"""

import keras

from kerasnets.blocks.convolution import activate, batch_norm, conv
from kerasnets.blocks.head import output


def width(spec, filters: int) -> int:
    """Number of filters after the network's width factor, at least four."""
    return filters if spec.width == 1 else max(4, round(filters * spec.width))


def unit(x, spec, filters, kernel=1, stride=1, padding=None, *, name, initializer=None):
    """Convolution, batch normalisation and ReLU: the layers `<name>.conv`, `<name>.bn` and `<name>`.

    `padding=None` is `"same"` at stride 1 and `"valid"` at stride 2, as everywhere but in the stems.
    """
    padding = padding or ("same" if stride == 1 else "valid")
    initializer = initializer or spec.initializer
    x = conv(x, width(spec, filters), kernel, stride, padding=padding, initializer=initializer, name=f"{name}.conv")
    x = batch_norm(x, epsilon=1e-3, momentum=spec.momentum, scale=spec.gamma, name=f"{name}.bn")
    return activate(x, name=name)


def chain(x, spec, *units, name, numbered=".0"):
    """One branch of a module. Each of `units` is (filters, kernel, stride, padding) or the first of these columns.

    The units are called `<name>.0`, `<name>.1`, ... (`numbered="_1"`: `<name>_1`, `<name>_2`, ...); a single unit is
    called `<name>`.
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


def inception_v4_stem(x, spec, *, name):
    """Stem of Inception v4 and the paper's Inception-ResNet v2 (Szegedy 2016, figure 3): 299x299x3 -> 35x35x384."""
    x = unit(x, spec, 32, 3, 2, name=f"{name}.0")
    x = unit(x, spec, 32, 3, 1, "valid", name=f"{name}.1")
    x = unit(x, spec, 64, 3, name=f"{name}.2")
    x = join(max_pool(x, name=f"{name}.3.maxpool"), unit(x, spec, 96, 3, 2, name=f"{name}.3.conv"), name=f"{name}.3")
    short = chain(x, spec, (64, 1), (96, 3, 1, "valid"), name=f"{name}.4.branch0")
    long = chain(x, spec, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, "valid"), name=f"{name}.4.branch1")
    x = join(short, long, name=f"{name}.4")
    halved = unit(x, spec, 192, 3, 2, name=f"{name}.5.conv")
    return join(halved, max_pool(x, name=f"{name}.5.maxpool"), name=f"{name}.5")


def reduction_a(x, spec, klmn, *, name):
    """35x35 to 17x17 (Szegedy et al. 2016, figure 7); `klmn` are the network's k, l, m and n of table 1."""
    k, l, m, n = klmn  # noqa: E741  (the paper's letters)
    one = unit(x, spec, n, 3, 2, name=f"{name}.branch0")
    three = chain(x, spec, (k, 1), (l, 3), (m, 3, 2), name=f"{name}.branch1")
    return join(one, three, max_pool(x, name=f"{name}.branch2"), name=name)


def auxiliary_head(x, name, classes, activation, spec, initializers=(None, "glorot_uniform")):
    """Auxiliary classifier of Inception v3, v4 and Inception-ResNet v2: (batch, 17, 17, channels) -> (batch, classes).

    5x5 averages with stride 3, a 1x1 convolution to 128 channels, a 5x5 convolution to 768 that covers the whole map, a
    dense layer. On a smaller map the 5x5 windows have the map's size; on a larger one the last map is averaged.
    `initializers` are those of the second convolution (`None`: as all others) and of the dense layer.
    """
    second, last = initializers
    x = keras.layers.AveragePooling2D(_at_most(5, x), 3, name="AuxLogits.avgpool")(x)
    x = unit(x, spec, 128, name="AuxLogits.conv0")
    x = unit(x, spec, 768, _at_most(5, x), padding="valid", initializer=second, name="AuxLogits.conv1")
    x = keras.layers.GlobalAveragePooling2D(name="AuxLogits.pool")(x)
    return output(x, classes, activation, initializer=last, name="AuxLogits.fc")


def _at_most(size, x):
    return tuple(size if known is None else min(size, known) for known in x.shape[1:3])
