"""Blocks of networks without normalisation: convolution and dense layer with ReLU, a convolutional classifier."""

import keras

from kerasnets.blocks.convolution import activate, conv


def conv_relu(x, filters, kernel=1, stride=1, *, name, relu=None, **options):
    """Convolution with bias, then ReLU; `relu` is the name of the ReLU, `options` are those of `conv`."""
    x = conv(x, filters, kernel, stride, name=name, use_bias=True, **options)
    return activate(x, "relu", name=relu or f"{name}.relu")


def hidden_dense(x, units, *, name, dropout=0.0, **options):
    """Dense layer with ReLU, then dropout (`options` are further arguments of the dense layer)."""
    x = keras.layers.Dense(units, activation="relu", name=name, **options)(x)
    return keras.layers.Dropout(dropout, name=f"{name}.dropout")(x) if dropout else x


def convolutional_output(x, classes, activation, *, name, padding=0, initializer=None):
    """The classifier as a 1x1 convolution called `name`: ReLU, mean over height and width, activation `predictions`.

    (batch, height, width, channels) -> (batch, classes), float32 from the mean on under every precision policy.
    """
    x = conv_relu(x, classes, 1, padding=padding, initializer=initializer, name=name)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name=f"{name}.avgpool")(x)
    return keras.layers.Activation(activation or "linear", dtype="float32", name="predictions")(x)
