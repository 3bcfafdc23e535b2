"""Recipes: the strict schema, reading YAML, overrides and errors, without TensorFlow."""
