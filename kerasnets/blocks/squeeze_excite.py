"""Squeeze-and-excitation (Hu, Shen and Sun 2017, section 3), for every family that gates its channels."""

import keras

from kerasnets.blocks.convolution import activate, conv, global_average_pool


def squeeze_excite(
    x, reduced, *, name, activation="relu", gate="sigmoid", names=("fc1", "fc2"), use_bias=True, initializer=None
):
    """Multiplies every channel of `x` by a gate that is computed from the means of all channels.

    The two dense layers of the paper are 1x1 convolutions on the pooled 1x1 map, as in the public checkpoints. The
    result is the same.

    Args:
        x: (batch, height, width, channels).
        reduced: width of the first dense layer (the paper: channels / 16).
        name: the block's name; its two dense layers are `<name>.<names[i]>`, its output is `<name>`.
        activation, gate: Keras activations behind the first and the second dense layer.
        names: names of the two dense layers inside the block.

    Returns:
        (batch, height, width, channels).
    """
    first, second = (f"{name}.{own}" for own in names)
    y = global_average_pool(x, name=f"{name}.avgpool", keepdims=True)
    y = conv(y, reduced, 1, use_bias=use_bias, initializer=initializer, name=first)
    y = activate(y, activation, name=f"{name}.activation")
    y = conv(y, x.shape[-1], 1, use_bias=use_bias, initializer=initializer, name=second)
    y = activate(y, gate, name=f"{name}.gate")
    return keras.layers.Multiply(name=name)([x, y])
