"""Experiments: a claim of a paper as a file, its runs, and the verdict."""
