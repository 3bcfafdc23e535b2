"""`make parity`: compares every network with its outside implementations, on the same weights.

    python tests/support/parity.py ['resnet*' ...]

It prints a table: name, source, name there, the largest difference of the logits in units of their standard deviation,
and the number of parameters. Sources that are not installed are "not run". It puts the differences into
`docs/parity.json`, which the pages of the families show. The exit code is 1 when a network that was run differs by more
than 1e-4 or has another number of parameters.
"""

import contextlib
import fnmatch
import json
import os
import sys
import tempfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

with contextlib.suppress(ImportError):
    import torchvision  # noqa: F401 (before TensorFlow: torchvision 0.29 crashes when it is imported after it)

import keras
import numpy as np
from golden_files import tensor_from_name
from nets import pixels, read_json

from kerasnets.build import build
from kerasnets.registry import get_variant, variant_names
from kerasnets.weights.load import load_weights

ROOT = Path(__file__).parents[2]
BOUND = 1e-4
# An odd size shows wrong padding. A classifier that flattens needs the input size of its variant.
SIZE = 107


def torch_model(source: str, name: str):
    """A network of torchvision or timm in evaluation mode; auxiliary classifiers off."""
    if source == "timm":
        import timm

        return timm.create_model(name, pretrained=False).eval()
    from torchvision import models

    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **options).eval()


def beside_torch(variant, source: str, name: str) -> tuple[float, int, int]:
    """Returns (difference, our parameters, theirs)."""
    import torch

    size = variant.input_shape[0] if variant.fixed_size else SIZE
    theirs = torch_model(source, name)
    arrays = {n: np.asarray(tensor_from_name(n, tuple(t.shape))) for n, t in theirs.state_dict().items()}
    theirs.load_state_dict({n: torch.as_tensor(a) for n, a in arrays.items()})
    ours = build(variant, input_shape=(size, size, 3), classifier_activation=None)
    report = load_weights(ours, arrays)
    if report.kept_initial or report.skipped:
        raise ValueError(f"weights without a tensor that fits: {report.kept_initial or report.skipped}")
    x = pixels((1, size, size, 3), seed=size)
    with torch.inference_mode():
        expected = theirs(torch.as_tensor(x.transpose(0, 3, 1, 2).copy())).numpy()
    auxiliary = [p.numel() for n, p in theirs.named_parameters() if n.lower().startswith(("aux", "auxlogits"))]
    count = sum(p.numel() for p in theirs.parameters()) - sum(auxiliary)
    return difference(ours, x, expected), parameters(ours), count


def beside_keras(variant, source: str, name: str) -> tuple[float, int, int]:
    """Returns (difference, our parameters, theirs), with a file that their `save_weights` wrote."""
    from keras_applications import SIZES, ours, peer

    size = SIZES.get(name, 64)
    theirs, model = peer(name, size), ours(variant.name, size)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_weights(Path(folder) / "theirs.weights.h5")
        load_weights(model, Path(folder) / "theirs.weights.h5")
    x = pixels((1, size, size, 3), seed=size)
    expected = np.asarray(theirs(x * (255 if "Efficient" in name else 1), training=False))
    biases = [layer for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D) and layer.use_bias]
    folded = sum(layer.filters for layer in biases) if name in ("ResNet50", "ResNet101", "ResNet152") else 0
    return difference(model, x, expected), parameters(model), parameters(theirs) - folded


def difference(model, x, expected) -> float:
    return float(np.abs(np.asarray(model(x, training=False)) - expected).max() / expected.std())


def parameters(model) -> int:
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def compare(name: str, source: str, theirs: str) -> tuple[str, bool, float | None]:
    """Returns a line of the table, whether it is right, and the difference if it could be measured."""
    keras.backend.clear_session()
    try:
        run = beside_keras if source == "keras.applications" else beside_torch
        found, ours, outside = run(get_variant(name), source, theirs)
    except ImportError as error:
        return f"{name:32} {source:20} {theirs:28} not run: {error.name} is not installed", True, None
    except ValueError as error:
        return f"{name:32} {source:20} {theirs:28} {error}", False, None
    right = found <= BOUND and ours == outside
    verdict = "" if right else "  WRONG" if ours == outside else f"  WRONG: theirs has {outside:,}"
    return f"{name:32} {source:20} {theirs:28} {found:10.1e} {ours:14,}{verdict}", right, found


def write(found: dict[str, dict[str, float]]) -> None:
    """Puts the differences that this run measured into `docs/parity.json`, with the versions of the packages."""
    path = ROOT / "docs" / "parity.json"
    known = json.loads(path.read_text(encoding="utf-8"))["differences"] if path.exists() else {}
    names = set(packages_distributions()) & {"keras", "tensorflow", "torchvision", "timm"}
    versions = {name: version(name) for name in sorted(names)}
    differences = {name: known.get(name, {}) | found.get(name, {}) for name in sorted(known | found)}
    page = {"versions": versions, "differences": differences}
    path.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")


def main(patterns: list[str]) -> int:
    """Prints the table; returns the number of lines that are wrong."""
    peers, wrong, ran, measured = read_json("parity_rows.json"), 0, 0, {}
    print(f"{'name':32} {'source':20} {'there':28} {'difference':>10} {'parameters':>14}")
    names = [n for n in variant_names() if not patterns or any(fnmatch.fnmatchcase(n, p) for p in patterns)]
    for name in names:
        for source, theirs in peers.get(name, {}).items():
            line, right, found = compare(name, source, theirs)
            print(line, flush=True)
            if found is not None:
                measured.setdefault(name, {})[source] = float(f"{found:.1e}")
            wrong, ran = wrong + (not right), ran + 1
    alone = [name for name in names if name not in peers]
    write(measured)
    print(f"{ran} comparisons, {wrong} wrong.")
    print(f"{len(alone)} networks have no outside implementation: {', '.join(alone)}")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
