"""Compares the outputs of all variants under JAX and PyTorch with TensorFlow's, on filled weights, and trains a step.

    python tests/support/backends.py [--families NAME ...] [--variants NAME ...] [--whole] [--again] [--table]

Compared are the tiny twins of all variants (tests/tiny_twins.json: the same code with smaller numbers), or with
`--whole` the networks themselves, with ten classes and the smallest images that they allow. The twin of one variant of
each family is also trained for one step by Keras's `fit`: the loss is finite and weights move.

docs/backends.json keeps what was measured, so a run that was stopped goes on; `--again` measures anew. The table goes
into docs/backends.md; `--table` only writes that. The last line says how many variants differ by more than 1e-5 of the
standard deviation of the output.

Every backend is a process of its own, in which TensorFlow cannot be imported unless it is the backend.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from without_tensorflow import hide_tensorflow

from kerasnets.model_index import read_model_index

ROOT = Path(__file__).parents[2]
RECORD, PAGE = ROOT / "docs" / "backends.json", ROOT / "docs" / "backends.md"
MARKS = "<!-- backends: begin, written by `make backends` -->", "<!-- backends: end -->"
BACKENDS = ("jax", "torch")
TITLES = {"keras": "Keras", "tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
LIMIT = 1e-5
# The operations are the same; XLA only spends less time on their machine code, and compiles equal networks once.
QUICK_XLA = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir(), "kerasnets_backends")),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}
AT_ONCE = 12  # a process holds few networks
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
    environment = {
        **os.environ,
        **QUICK_XLA,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
    }
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


def compare(record: dict, names: list[str], *words: str) -> None:
    """Compares the variants that the record does not hold, and writes it after every few."""
    rows = record["whole" if words else "twins"]
    names = [name for name in names if name not in rows]
    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        reference = run_side("tensorflow", part, *words)
        found = {backend: differences(backend, part, *words, reference=reference) for backend in BACKENDS}
        rows |= {name: {backend: found[backend][name] for backend in BACKENDS} for name in part}
        write(record)
        print(f"compared {start + len(part)} of {len(names)}", file=sys.stderr, flush=True)


def train(record: dict, names: list[str]) -> None:
    """Trains the twins that the record does not hold for a step under each backend."""
    names = [name for name in names if name not in record["losses"]]
    found = {backend: run_side(backend, names, "--fit") for backend in ("tensorflow", *BACKENDS)} if names else {}
    record["losses"] |= {name: {backend: float(losses[name]) for backend, losses in found.items()} for name in names}
    write(record)


def write(record: dict) -> None:
    """Writes the record, and its table into the page."""
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.write_text(page_text(record), encoding="utf-8")


def page_text(record: dict) -> str:
    """Returns the page with the table of the record."""
    before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
    return f"{before}{MARKS[0]}\n{table(record)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def table(record: dict) -> str:
    """Returns the largest difference of each family, and where its twin was trained for a step."""
    families = {}
    for name, row in read_model_index().items():
        families.setdefault(row["family"], []).append(name)
    lines = [
        "| family | small | JAX | PyTorch | whole | JAX | PyTorch | a training step |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for family, names in sorted(families.items()):
        cells = [f"`{family}`"]
        for kind in ("twins", "whole"):
            found = [record[kind][name] for name in names if name in record[kind]]
            worst = [f"{max(row[backend] for row in found):.0e}" if found else "not run" for backend in BACKENDS]
            cells += [f"{len(found)} of {len(names)}", *worst]
        losses = [record["losses"][name] for name in names if name in record["losses"]]
        trained = [title for key, title in TITLES.items() if losses and np.isfinite(losses[0].get(key, np.nan))]
        lines.append(f"| {' | '.join([*cells, ', '.join(trained) or 'not run'])} |")
    versions = ", ".join(f"{title} {record['versions'][key]}" for key, title in TITLES.items())
    return "\n".join([*lines, "", f"{versions}."])


def faults(record: dict) -> list[str]:
    """Returns what differs, and what does not train."""
    rows = [(name, row) for kind in ("twins", "whole") for name, row in record[kind].items()]
    odd = [f"{key} {name} {value:.1e}" for name, row in rows for key, value in row.items() if not value <= LIMIT]
    steps = [(name, key, loss) for name, row in record["losses"].items() for key, loss in row.items()]
    return odd + [f"{key} {name} does not train" for name, key, loss in steps if not np.isfinite(loss)]


def read_record() -> dict:
    empty = {"twins": {}, "whole": {}, "losses": {}, "versions": {}}
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else empty


def side(options) -> None:
    """Computes what another process asked for, in this process and its backend."""
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        hide_tensorflow()
    found = fit_of(options.variants) if options.fit else outputs_of(options.variants, options.whole)
    np.savez(options.side, **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    families = {name: row["family"] for name, row in read_model_index().items()}
    parser.add_argument("--families", nargs="+", choices=sorted({*families.values()}), metavar="NAME")
    parser.add_argument("--variants", nargs="+", choices=list(families), metavar="NAME")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)  # these two are of the processes that it starts
    parser.add_argument("--fit", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(options)
        return
    names = [name for name in options.variants or families if families[name] in (options.families or families.values())]
    record, words = read_record(), ["--whole"] if options.whole else []
    if options.again:
        record = {key: {name: row for name, row in record[key].items() if name not in names} for key in record}
    if options.table:
        write(record)
    else:
        from nets import representatives

        record["versions"] = {name: version(name) for name in TITLES}
        train(record, [name for name in representatives("family") if name in names])
        compare(record, names, *words)
    odd, counts = faults(record), [len(record[key]) for key in ("twins", "whole", "losses")]
    print("{} small and {} whole networks compared, {} trained for a step".format(*counts))
    print(f"{len(odd)} differ: {', '.join(odd)}" if odd else "0 differ")
    sys.exit(bool(odd))


if __name__ == "__main__":
    main()
