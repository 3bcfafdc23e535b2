"""Op determinism, TensorFlow's switch for the whole process, without what it costs an input pipeline.

While the switch is on, TensorFlow takes all parallel maps and prefetches out of a pipeline like ours (its pass
`make_deterministic`, because of a `PyFunc` and of nested datasets), although no thread decides its order or its pixels.
The pass runs when an iterator is made, so iterators are made with the switch off.

`disable_op_determinism` and `is_op_determinism_enabled` are private; checked with TensorFlow 2.21, and
tests/data/test_determinism.py fails when they, or the pass, change.
"""

import contextlib

from tensorflow.python.framework import config


@contextlib.contextmanager
def op_determinism(on: bool):
    """A context with op determinism on or off; afterwards it is as it was before."""
    before = config.is_op_determinism_enabled()
    _switch(on)
    try:
        yield
    finally:
        _switch(before)


def parallel(dataset):
    """Makes a dataset, plain or distributed, stay parallel under op determinism, and returns it.

    This holds for each iterator of this dataset, by whomever it is made, and not for datasets that are derived from it.
    """
    kind = type(dataset)

    class Parallel(kind):
        def __iter__(self):
            with op_determinism(False):
                return super().__iter__()

    Parallel.__name__ = kind.__name__
    dataset.__class__ = Parallel
    return dataset


def _switch(on: bool) -> None:
    (config.enable_op_determinism if on else config.disable_op_determinism)()
