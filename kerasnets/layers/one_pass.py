"""Elementwise functions that read and write memory once, on a processor.

TensorFlow runs one kernel for each operation of a formula, so an activation and its gradient go through memory several
times; several kernels are slow in bfloat16, too. XLA makes one loop of a formula. It needs a few hundredths of a second
for each shape, so small maps are left out. `benchmarks/training_kernels.py` measures the difference.
"""

from kerasnets.layers.backend import ON_TENSORFLOW, tf

# Pixels times channels of one image; below, a pass over memory costs less than compiling it.
_SMALL = 2**15


def is_worth_it(x) -> bool:
    """Whether a step is being traced on a processor, with maps of a known size that are not small."""
    if not ON_TENSORFLOW or tf.executing_eagerly() or None in x.shape[1:]:
        return False
    return x.shape[1:].num_elements() >= _SMALL and not tf.config.list_logical_devices("GPU") and _compiles()


def _in_one_pass(function):
    """Makes a function of tensors of one dtype compute in float32, in one loop."""

    def in_float32(*tensors):
        return tf.cast(function(*(tf.cast(each, tf.float32) for each in tensors)), tensors[0].dtype)

    return tf.function(in_float32, jit_compile=True, autograph=False) if ON_TENSORFLOW else function


@_in_one_pass
def silu_gradient(upstream, x):
    """The gradient of `x sigmoid(x)`."""
    s = tf.sigmoid(x)
    return upstream * (s + x * s * (1.0 - s))


def relu6(x):
    """`min(max(x, 0), 6)`."""

    @tf.custom_gradient
    def computed(x):
        y = _relu6(x)
        return y, lambda upstream: _relu6_gradient(upstream, y)

    return computed(x)


@_in_one_pass
def _relu6(x):
    return tf.nn.relu6(x)


@_in_one_pass
def _relu6_gradient(upstream, y):
    return tf.where((y > 0.0) & (y < 6.0), upstream, 0.0)


def _compiles() -> bool:
    """Tells whether this TensorFlow has XLA for the processor, by trying it."""
    with tf.init_scope():
        try:
            return _relu6(tf.ones(2))[0] == 1.0
        except tf.errors.OpError:
            return False
