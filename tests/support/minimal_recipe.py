"""A recipe with only the keys that have no default."""

MINIMAL = {
    "model": {"name": "lenet5_modern"},
    "data": {"source": {"kind": "digits"}},
    "batch_size": 16,
    "epochs": 2,
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
