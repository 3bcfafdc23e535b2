"""Op determinism, TensorFlow's switch for the whole process, without its cost for an input pipeline.

While the switch is on, TensorFlow's pass `make_deterministic` removes all parallel maps and prefetches from a pipeline
that has a `PyFunc` or nested datasets. Ours has both, but its order and pixels never depend on threads. The pass runs
when an iterator is created, so iterators are created with the switch off.

`disable_op_determinism` and `is_op_determinism_enabled` are private; checked with TensorFlow 2.21. A test in
tests/data/test_determinism.py fails when they, or the pass, change.
"""

import contextlib

from tensorflow.python.framework import config


@contextlib.contextmanager
def op_determinism(on: bool):
    """Switches op determinism on or off inside the context, and restores the former state after it."""
    before = config.is_op_determinism_enabled()
    _switch(on)
    try:
        yield
    finally:
        _switch(before)


def parallel(dataset):
    """Returns `dataset`, plain or distributed, changed so that it stays parallel under op determinism.

    Every iterator of this dataset stays parallel. Datasets that are derived from it do not: call `parallel` on them.
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
