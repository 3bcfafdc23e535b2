"""One finished run for all tests of this package."""

import pytest

import kerasnets


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run of two epochs of four steps. Copy its folder before you change it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    changes = ["epochs=2", "steps_per_epoch=4", "steps_per_execution=2"]
    return kerasnets.train("lenet5_digits", folder, overrides=changes, progress=False)
