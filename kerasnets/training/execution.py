"""Several steps in one call of a `tf.function`, under every distribution strategy.

Keras 3.15.1 carries a distributed batch through its loop and fails for more than one step a call (`steps_per_execution`
above 1) under MirroredStrategy and MultiWorkerMirroredStrategy. This loop reads the batch inside its body and carries
only a counter.
"""

import tensorflow as tf


def make_execution(strategy, step, logs, steps, jit_compile=False):
    """Return the function that Keras's `fit` and `evaluate` call with an iterator.

    Args:
        strategy: where the step runs.
        step: batch -> None, the step of one replica.
        logs: () -> scalars by name, read once after the last step of a call, outside the replicas.
        steps: () -> steps in a call.
        jit_compile: whether XLA compiles the step, which needs a strategy with one replica.

    Raises:
        StopIteration: by the function returned, when the iterator has no batch left.
    """

    if jit_compile:
        step = tf.function(step, jit_compile=True, autograph=False)

    def one_step(done, more, iterator):
        batch = iterator.get_next_as_optional()

        def run():
            strategy.run(step, args=(batch.get_value(),))
            return done + 1, True

        return tf.cond(batch.has_value(), run, lambda: (done, False))

    @tf.function(reduce_retracing=True, autograph=False)
    def execute(iterator, count):
        done, _ = tf.while_loop(
            lambda done, more: more & (done < count),
            lambda done, more: one_step(done, more, iterator),
            (tf.constant(0), tf.constant(True)),
            parallel_iterations=1,  # Steps depend on each other through variables.
        )
        with tf.control_dependencies([done]):
            return done, logs()

    def function(iterator):
        done, values = execute(iterator, tf.constant(steps()))
        if not done:
            raise StopIteration
        return values

    return function
