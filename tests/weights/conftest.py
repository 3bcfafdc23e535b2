"""A small network, and a check that it refuses a weights file."""

import functools

import pytest
from damaged_files import refused

from kerasnets.build import create_model


@pytest.fixture(scope="module")
def net():
    return create_model("lenet5_modern")


@pytest.fixture
def refuses(net):
    return functools.partial(refused, net)
