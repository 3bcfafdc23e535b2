"""Exact evaluation, by one look or by many."""
