"""Builds variants under each backend of Keras and compares their outputs with TensorFlow's, on filled weights.

    python tests/support/backends.py [--backends jax torch] [--variants NAME ...] [--whole] [--fit]

By default each variant's tiny twin is compared (tests/tiny_twins.json). `--whole` takes the variants themselves, with
ten classes and the smallest images that they allow. `--fit` also trains the twin of one variant of each family for one
step by Keras's `fit`, and checks that the loss is finite and the weights move.

Every backend is a process of its own, in which TensorFlow cannot be imported unless it is the backend. The last line
says how many variants differ by more than 1e-5 of the standard deviation of the output.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from without_tensorflow import hide_tensorflow

ROOT = Path(__file__).parents[2]
BACKENDS = ("jax", "torch")
LIMIT = 1e-5
DEFAULT = ("resnet18", "resnext50_32x4d", "lenet5", "squeezenet1_1", "alexnet")


def outputs_of(names: list[str], whole: bool) -> dict[str, np.ndarray]:
    """Returns the output of each variant for two images, in this process and its backend."""
    import keras
    from nets import build_twin, fill, pixels

    from kerasnets.build import build
    from kerasnets.registry import get_variant

    found = {}
    for name in names:
        variant, settings = get_variant(name), {"classifier_activation": None}
        if variant.fixed_size or not whole:
            model = build_twin(name, **settings)
        else:
            shape = (variant.min_size, variant.min_size, variant.input_shape[2])
            model = build(variant, input_shape=shape, classes=10, **settings)
        fill(model)
        images = pixels((2, *model.input_shape[1:]))
        if keras.backend.backend() == "jax":  # compiled as a whole; else every operation would be compiled by itself
            found[name] = model.predict_on_batch(images)
        else:
            found[name] = keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(images), training=False))
        keras.backend.clear_session()
    return found


def fit_of(names: list[str]) -> dict[str, np.ndarray]:
    """Returns the loss of one training step of each variant's twin, NaN if no weight moved."""
    import keras
    from nets import build_twin, pixels

    found = {}
    for name in names:
        model = build_twin(name, classifier_activation="softmax")
        images, labels = pixels((4, *model.input_shape[1:])), np.arange(4) % 10
        before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
        model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
        loss = model.fit(images, labels, batch_size=4, epochs=1, verbose=0).history["loss"][0]
        after = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
        moved = any((a != b).any() for a, b in zip(before, after, strict=True))
        found[name] = np.array(loss if moved else np.nan)
        keras.backend.clear_session()
    return found


def run_side(backend: str, names: list[str], *words: str) -> dict[str, np.ndarray]:
    """Returns what a process with another backend computes, by variant.

    Raises:
        RuntimeError: the process fails.
    """
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "outputs.npz")
        command = [sys.executable, __file__, "--side", str(file), "--variants", *names, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{backend}: {done.stderr.strip()[-1500:]}")
        with np.load(file) as arrays:
            return dict(arrays)


def differences(backend: str, names: list[str], *words: str, reference=None) -> dict[str, float]:
    """Returns the largest difference from TensorFlow of each variant, in standard deviations of the output."""
    reference = reference or run_side("tensorflow", names, *words)
    theirs = run_side(backend, names, *words)
    return {name: float(np.abs(theirs[name] - reference[name]).max() / reference[name].std()) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--variants", nargs="+")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        if os.environ["KERAS_BACKEND"] != "tensorflow":
            hide_tensorflow()
        found = fit_of(options.variants) if options.fit else outputs_of(options.variants, options.whole)
        np.savez(options.side, **found)
        return
    from nets import representatives

    from kerasnets.registry import variant_names

    names, odd = options.variants or list(variant_names()), []
    words = ["--whole"] if options.whole else []
    for backend in options.backends:
        found, worst = {}, {}
        for start in range(0, len(names), 12):  # a process holds few networks at a time
            part = names[start : start + 12]
            found |= differences(backend, part, *words)
            print(f"{backend}: {len(found)} of {len(names)}", file=sys.stderr, flush=True)
        worst = dict(sorted(found.items(), key=lambda pair: -pair[1]))
        print(json.dumps({"backend": backend, "variants": len(found), "largest": dict(list(worst.items())[:5])}))
        odd += [f"{backend} {name} {value:.1e}" for name, value in worst.items() if not value <= LIMIT]
        if options.fit:
            losses = run_side(backend, representatives("family"), "--fit")
            bad = [name for name, loss in losses.items() if not np.isfinite(loss)]
            print(json.dumps({"backend": backend, "families trained for a step": len(losses), "failed": bad}))
            odd += [f"{backend} {name} does not train" for name in bad]
    print(f"{len(odd)} differ: {', '.join(odd)}" if odd else f"0 of {len(names)} variants differ on {options.backends}")
    sys.exit(bool(odd))


if __name__ == "__main__":
    main()
