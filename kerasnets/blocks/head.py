"""How networks end: pooling, dropout and the layer `predictions`."""

import keras

from kerasnets.blocks.convolution import global_average_pool


def output(x, classes, activation, *, name="predictions", initializer="glorot_uniform"):
    """The classifier: (batch, features) -> (batch, classes), float32 under every precision policy."""
    return keras.layers.Dense(
        classes, activation=activation, dtype="float32", kernel_initializer=initializer, name=name
    )(x)


def pooled_head(x, spec, classes, activation, *, dropout=0.0):
    """Global average pooling and one dense layer."""
    x = global_average_pool(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return output(x, classes, activation)


def plain_head(x, spec, classes, activation):
    """Global average pooling and one dense layer, for networks whose `dropout` is in their body."""
    return output(global_average_pool(x), classes, activation)


def dropout_head(default):
    """Returns `pooled_head` with another default of `dropout`."""

    def head(x, spec, classes, activation, *, dropout=default):
        return pooled_head(x, spec, classes, activation, dropout=dropout)

    return head
