"""Exported forms of a trained network, their check in a fresh process, and prediction with any of them."""
