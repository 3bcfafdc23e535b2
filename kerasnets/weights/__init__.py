"""Public checkpoints and weight files: catalogue, download, reading, mapping, loading."""
