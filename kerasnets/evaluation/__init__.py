"""Exact evaluation: one crop, test-time augmentation, dense evaluation, ensembles."""
