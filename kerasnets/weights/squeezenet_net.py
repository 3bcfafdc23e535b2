"""The `.net` file of SqueezeNet v1.0 that its authors published after Deep Compression (675,763 bytes).

All numbers are little-endian. First come 26 uint32, the stored entries of each layer, in the order of the Caffe file.
Then each layer has 256 float32 (its codebook), its biases in float32, a byte an entry (the index in the codebook), and
four bits an entry, the lower half of a byte first: how many weights lie between the entry before and this one. A weight
that is not named is zero.
"""

import contextlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Filters of the squeeze layer, and of each expand layer, of fire2 to fire9.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


class _Layer(NamedTuple):
    """Places in the file of the parts of a layer, and the shape of its kernel: (outputs, inputs, height, width)."""

    shape: tuple[int, int, int, int]
    entries: int
    codebook: int
    biases: int
    indices: int
    gaps: int


def _shapes() -> dict[str, tuple]:
    """Returns the kernels' shapes by layer, in the order of the file."""
    shapes, inputs = {"conv1": (96, 3, 7, 7)}, 96
    for number, (squeezed, expanded) in enumerate(_FIRES, 2):
        shapes[f"fire{number}.squeeze1x1"] = (squeezed, inputs, 1, 1)
        shapes[f"fire{number}.expand1x1"] = (expanded, squeezed, 1, 1)
        shapes[f"fire{number}.expand3x3"] = (expanded, squeezed, 3, 3)
        inputs = 2 * expanded
    return shapes | {"conv10": (1000, inputs, 1, 1)}


@contextlib.contextmanager
def open_squeezenet_net(path: Path):
    """Yields the shapes of the file's tensors by PyTorch's names, and a function that reads the tensor of a name.

    Raises:
        ValueError: for a damaged file, or that of another network.
    """
    shapes = _shapes()
    content = path.read_bytes() if path.stat().st_size < 2**24 else b""
    layers = _layers(content, shapes, path.name)
    found = {f"{name}.weight": shape for name, shape in shapes.items()}
    found |= {f"{name}.bias": shape[:1] for name, shape in shapes.items()}

    def read(name: str) -> np.ndarray:
        layer, _, part = name.rpartition(".")
        if part == "bias":
            return np.frombuffer(content, "<f4", shapes[layer][0], layers[layer].biases)
        return _kernel(content, layers[layer], path.name)

    yield {name: found[name] for layer in shapes for name in (f"{layer}.weight", f"{layer}.bias")}, read


def _layers(content: bytes, shapes: dict, source: str) -> dict[str, _Layer]:
    start = 4 * len(shapes)
    counts = np.frombuffer(content[:start], "<u4").tolist() if len(content) >= start else []
    layers = {}
    for entries, (name, shape) in zip(counts, shapes.items(), strict=False):
        biases = start + 4 * 256
        indices = biases + 4 * shape[0]
        layers[name] = _Layer(shape, entries, start, biases, indices, indices + entries)
        start = indices + entries + (entries + 1) // 2
    if start != len(content) or len(layers) < len(shapes):
        raise ValueError(
            f"{source} is not the compressed SqueezeNet v1.0: by the counts at its beginning it has {start:,} bytes. "
            f"Received: {len(content):,} bytes"
        )
    return layers


def _kernel(content: bytes, layer: _Layer, source: str) -> np.ndarray:
    codebook = np.frombuffer(content, "<f4", 256, layer.codebook)
    indices = np.frombuffer(content, np.uint8, layer.entries, layer.indices)
    pairs = np.frombuffer(content, np.uint8, (layer.entries + 1) // 2, layer.gaps)
    gaps = np.stack([pairs & 15, pairs >> 4], axis=1).ravel()[: layer.entries]
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    kernel = np.zeros(math.prod(layer.shape), np.float32)
    if len(places) and places[-1] >= len(kernel):
        raise ValueError(f"{source} is damaged: a position lies after the last weight of its layer.")
    kernel[places] = codebook[indices]
    return kernel.reshape(layer.shape)
