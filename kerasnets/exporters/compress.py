"""Compress a network that is given as the other commands take it: a run folder, a .keras file or a model's name."""

import json
import os
from pathlib import Path

from kerasnets.compression.compress import compress_model
from kerasnets.exporters.images import calibration_images
from kerasnets.exporters.open_network import classifier, open_network, probabilities
from kerasnets.exporters.own_images import is_own, own_images
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.folder import check_writable, open_run


def compress(  # noqa: PLR0913 - one argument for each choice of a user
    target,
    output,
    *,
    weights=None,
    bits: int | None = 6,
    sparsity: float = 0.0,
    start: str = "linear",
    calibrate=None,
    examples: int = 250,
    steps: int = 0,
) -> dict:
    """Compresses a trained network into a `.knc` file, which `load_weights` reads.

    Args:
        target: a run folder, a .keras file, a model (it is not changed), or a model's name.
        output: the file, `NAME.knc`.
        weights: for a model's name, what its builder takes.
        bits: the codebook of a layer has at most 2^bits numbers, 1 to 8; `None` keeps every weight as it is. Weights
            that a recipe already shared among so few numbers stay as they are.
        sparsity: the share of each kernel's weights that is pruned first.
        start: of the clusters: "linear", "density" or "random".
        calibrate: real images, unlabelled, as for `export`. With them the errors of the weights count by how much their
            inputs vary, and are compensated.
        examples: the largest number of these images.
        steps: of tuning codebooks and biases on these images until the network answers as before.

    Returns:
        The report of `compress_model`, with `images`: how many were used, and `agreement`: the share of them on which
        the compressed network has the same top-1 class as the original. A run folder keeps it in compression.json, for
        the run's report.

    Raises:
        ValueError: for wrong arguments. Nothing was written.
        OSError: the file, or the run's folder, cannot be written. Nothing was written.
    """
    network = open_network(target, weights)
    if network.random:
        raise ValueError(f"A model that is given by name is compressed with its weights. Received: target={target!r}")
    if network.run is not None:
        check_writable(network.run, "compression.json")
    images = None
    if calibrate is not None:
        own = own_images(calibrate, network.preprocessing, examples) if is_own(calibrate) else calibrate
        images = calibration_images(network, own, examples)
    model = classifier(network.model)
    kept = model.get_weights()
    before = None if images is None else probabilities(model, images, network.preprocessing).argmax(-1)
    try:
        report = compress_model(
            model,
            Path(os.fspath(output)),
            network=network.name if network.run is None else _variant(network),
            preprocessing=network.preprocessing,
            bits=bits,
            sparsity=sparsity,
            start=start,
            images=images,
            steps=steps,
        )
        after = None if images is None else probabilities(model, images, network.preprocessing).argmax(-1)
    finally:
        model.set_weights(kept)
    report |= {"images": 0, "agreement": None}
    if images is not None:
        report |= {"images": len(images), "agreement": float((after == before).mean())}
    if network.run is not None:
        write_atomically(network.run / "compression.json", json.dumps(report, indent=2) + "\n")
    return report


def _variant(network) -> str:
    return open_run(network.run).recipe.model.name
