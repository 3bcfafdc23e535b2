"""The files of goldens/, and the weights that their numbers were computed with. Needs NumPy only."""

import gzip
import json
import zlib
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parents[1] / "goldens"


def golden(name: str) -> dict:
    return json.loads(gzip.open(GOLDENS / f"{name}.json.gz").read())


def golden_weights(name: str) -> dict[str, np.ndarray]:
    """Returns the weights of a golden by PyTorch's names, in PyTorch's layouts."""
    return {tensor: np.asarray(tensor_from_name(tensor, shape)) for tensor, shape in golden(name)["state_dict"]}


def tensor_from_name(name: str, shape) -> np.ndarray:
    """The rule of goldens/README.md, with shapes in PyTorch's order."""
    n = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return 1 + 0.2 * np.abs(n)
    if name.endswith("running_mean"):
        return 0.1 * n
    if len(shape) >= 2:
        return n * np.float32(np.sqrt(1.6 / np.prod(shape[1:])))
    return 0.1 * n if name.endswith("bias") else 1 + 0.1 * n


def ingredients() -> dict[str, np.ndarray]:
    """Returns the arrays that `make_ingredients.py` wrote."""
    with np.load(GOLDENS / "ingredients.npz", allow_pickle=False) as arrays:
        return dict(arrays)
