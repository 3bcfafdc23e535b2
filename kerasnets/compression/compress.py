"""Compress a trained network: prune it, share its weights, write it to a `.knc` file, and report every layer."""

import math
import os
from pathlib import Path

import keras
import numpy as np

from kerasnets.compression.calibration import input_moments, kernels
from kerasnets.compression.distillation import tune
from kerasnets.compression.pruning import magnitude_masks
from kerasnets.compression.sharing import bias_change, share
from kerasnets.registry import Preprocessing
from kerasnets.weights.knc import Contents, write_knc
from kerasnets.weights.mapping import weight_targets
from kerasnets.weights.range_coding import rounded

# Bits of the mantissas in a file with shared weights: of the biases, the codebooks and the rest.
MANTISSA = 10


def compress_model(  # noqa: PLR0913 - one argument for each choice of a user
    model: keras.Model,
    path,
    *,
    network: str,
    preprocessing: Preprocessing,
    bits: int | None = 6,
    sparsity: float = 0.0,
    start: str = "linear",
    images=None,
    steps: int = 0,
) -> dict:
    """Compresses a model in place, writes it to a file and returns the report.

    Args:
        model: with one output.
        path: of the file.
        network: the registered name of the network.
        preprocessing: of the model.
        bits: the codebook of a layer has 2^bits numbers, 1 to 8; `None` keeps the weights as they are.
        sparsity: the share of each kernel's weights that is pruned first, 0 to 1.
        start: of the clusters, "linear", "density" or "random".
        images: (examples, size, size, channels) of 0-255, unlabelled, to weigh and to compensate the errors of the
            weights; `None` for plain clusters.
        steps: of tuning the codebooks and biases by distillation on the images; 0 for none.

    Raises:
        ValueError: for wrong arguments. Nothing was written.
    """
    path = Path(path)
    _check(path, bits, sparsity, steps, images)
    teacher = keras.models.clone_model(model) if steps else None
    if teacher is not None:
        teacher.set_weights(model.get_weights())
    if sparsity:
        for target, mask in magnitude_masks(kernels(model), sparsity).values():
            target.variable.assign(target.variable.numpy() * mask)
    if bits is not None:
        _share_all(model, 2**bits, start, images, preprocessing)
        if steps:
            tune(model, teacher, images, preprocessing, steps)
        for target in weight_targets(model).values():
            target.variable.assign(rounded(target.variable.numpy(), MANTISSA))
    arrays = {name: np.asarray(target.variable.numpy()) for name, target in weight_targets(model).items()}
    mantissa = 23 if bits is None else MANTISSA
    contents = write_knc(path, arrays, network=network, preprocessing=preprocessing.as_plain(), mantissa=mantissa)
    return report_of(contents, arrays, path)


def _check(path: Path, bits, sparsity, steps, images) -> None:
    if bits is not None and not (isinstance(bits, int) and 1 <= bits <= 8):
        raise ValueError(f"`bits` should be 1 to 8, or None to keep the weights. Received: bits={bits!r}")
    if not 0.0 <= sparsity < 1.0:
        raise ValueError(f"`sparsity` should be at least 0 and below 1. Received: sparsity={sparsity!r}")
    if steps and (images is None or bits is None):
        raise ValueError(f"Tuning needs images (--calibrate) and a codebook (--bits). Received: steps={steps}")
    if path.suffix != ".knc" or not path.parent.is_dir():
        raise ValueError(f"The file should end in .knc and its folder exist. Received: {os.fspath(path)!r}")


def _share_all(model: keras.Model, count: int, start: str, images, preprocessing) -> None:
    """Shares the weights of every kernel. Biases are corrected by the mean error of the outputs."""
    moments = {} if images is None else input_moments(model, images, preprocessing)
    for name, target in kernels(model).items():
        kernel, (mean, second) = target.variable.numpy(), moments.get(name, (None, None))
        # Of a depthwise kernel, too, the last axis stays the last; the codebook is that of the layer.
        shared = share(kernel, count, start=start, moments=second).values()
        target.variable.assign(shared)
        bias = getattr(target.layer, "bias", None)
        if mean is not None and bias is not None:
            bias.assign(bias.numpy() + bias_change(kernel, shared, mean).astype(np.float32))


def report_of(contents: Contents, arrays: dict, path) -> dict:
    """Returns what a file holds: totals, and a row for each array.

    A row has the array's name, its number of weights, the share that is not zero, the bits of its codebook (`None`
    without one), the bits that a weight which is not zero takes in the file, its bytes, and how many times more bytes
    float32 takes.
    """
    rows = []
    for stored in contents.arrays:
        count, kept = math.prod(stored.shape), int(np.count_nonzero(arrays[stored.name]))
        codebook = stored.options.get("k")
        rows.append(
            {
                "name": stored.name,
                "weights": count,
                "kept": kept / count,
                "codebook_bits": None if codebook is None else math.ceil(math.log2(max(codebook, 2))),
                "bits_per_weight": 8 * stored.bytes / max(kept, 1),
                "coding": stored.coding,
                "bytes": stored.bytes,
                "ratio": 4 * count / max(stored.bytes, 1),
            }
        )
    weights, size = sum(row["weights"] for row in rows), Path(path).stat().st_size
    kept = sum(row["kept"] * row["weights"] for row in rows) / weights
    totals = {"path": os.fspath(path), "bytes": size, "float32_bytes": 4 * weights, "ratio": 4 * weights / size}
    return totals | {"weights": weights, "kept": kept, "layers": rows}
