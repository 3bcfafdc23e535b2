"""The sigmoid linear unit (swish), whose gradient takes fewer passes over memory than TensorFlow's.

Elementwise steps cost what it takes to read and write the feature map. TensorFlow's gradient makes six of them. This
one makes four, one of which is a kernel for `x s (1 - s)`; on a processor, a training step makes one.
"""

import keras

from kerasnets.layers.backend import ON_TENSORFLOW, tf
from kerasnets.layers.one_pass import is_worth_it, silu_gradient


@keras.saving.register_keras_serializable("kerasnets")
def silu(x):
    """`x * sigmoid(x)`, any shape, as `keras.activations.silu`.

    Source: Ramachandran, Zoph and Le 2017, https://arxiv.org/abs/1710.05941
    """
    return tf.custom_gradient(_silu)(x) if ON_TENSORFLOW else keras.ops.silu(x)


def _silu(x):
    def gradient(upstream):
        if is_worth_it(x):
            return silu_gradient(upstream, x)
        with tf.control_dependencies([upstream]):  # computed again, or it would be kept for every layer
            s = tf.sigmoid(x)
        return upstream * (s + tf.raw_ops.SigmoidGrad(y=s, dy=x))

    return x * tf.sigmoid(x), gradient
