"""Shared by the tests of the data package: operations run in both ways, and one recipe on a folder of photos."""

import numpy as np
import pytest
import tensorflow as tf

# So many seeds are also run eagerly; tf.data runs them all.
EAGER_SEEDS = 3


@pytest.fixture
def both_ways():
    """Runs a data operation eagerly and inside `Dataset.map`, checks that both give the same bits, returns the result.

    `both_ways(operation, *arguments)` returns arrays. With `seeds=range(100)` the operation gets [0, seed] as its last
    argument as well, and the result is a list, one entry for each seed.
    """

    def run(operation, *arguments, seeds=None):
        arguments = tuple(tf.convert_to_tensor(argument) for argument in arguments)
        operation = tf.autograph.experimental.do_not_convert(operation)
        if seeds is None:
            cases, mapped = [arguments], tf.data.Dataset.from_tensors(arguments).map(operation)
        else:
            pairs = tf.constant([[0, seed] for seed in seeds], tf.int64)
            cases = [(*arguments, pair) for pair in pairs[:EAGER_SEEDS]]
            mapped = tf.data.Dataset.from_tensor_slices(pairs).map(lambda pair: operation(*arguments, pair))
        mapped = list(mapped)
        for case, graph in zip(cases, mapped, strict=False):
            assert_same_bits(eagerly(operation, case), graph)
        results = [tf.nest.map_structure(lambda tensor: tensor.numpy(), graph) for graph in mapped]
        return results[0] if seeds is None else results

    return run


def eagerly(operation, arguments):
    """Calls an operation with every `tf.function` inside it run as plain Python."""
    tf.config.run_functions_eagerly(True)
    try:
        return operation(*arguments)
    finally:
        tf.config.run_functions_eagerly(False)


def assert_same_bits(eager, graph):
    tf.nest.assert_same_structure(eager, graph)
    for ours, theirs in zip(tf.nest.flatten(eager), tf.nest.flatten(graph), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
