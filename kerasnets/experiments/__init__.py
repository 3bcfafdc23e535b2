"""Runs an experiment file: arms x seeds, statistics, verdict."""
