"""The programs of examples/ that no other test runs."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("jax") is None, reason="needs jax")
def test_a_network_trained_under_jax_is_read_by_tensorflow(tmp_path):
    import kerasnets

    for label in "ab":
        folder = tmp_path / "train" / label
        folder.mkdir(parents=True)
        for number in range(64):
            Image.fromarray(np.full((32, 32, 3), number, "uint8")).save(folder / f"{number}.png")
    command = [
        sys.executable,
        ROOT / "examples" / "jax_cifar.py",
        tmp_path,
        tmp_path / "net.weights.h5",
        "--steps",
        "1",
    ]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch 1  loss " in done.stdout
    model = kerasnets.create_model("resnet20_cifar")
    before = [np.array(variable) for variable in model.variables]
    kerasnets.load_weights(model, tmp_path / "net.weights.h5")
    moved = [not np.array_equal(old, new) for old, new in zip(before, model.variables, strict=True)]
    assert all(moved)
