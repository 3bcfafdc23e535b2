"""Pixel operations: decoding, geometry, colour, augmentation per image and per batch, crops."""
