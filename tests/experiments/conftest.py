"""The fixture `small` for all tests of experiments."""

from small_experiment import small  # noqa: F401
