"""Recipes: the strict schema, reading YAML, overrides, errors. No TensorFlow."""
