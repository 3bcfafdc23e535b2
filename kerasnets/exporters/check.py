"""Check an exported file: load it in a fresh process, run it on real images and compare it with the Keras model.

`check_file` runs in the process that exports. It starts `python -m kerasnets.exporters.check FILE FORM FOLDER`, which
does not know the Keras model: it runs the file on the folder's images and writes the outputs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kerasnets.exporters.files import ExportError
from kerasnets.exporters.tflite import load_tflite, read_ops, summarise_ops

# The bounds that a file must meet. `accuracy_drop` applies only if the images have labels.
BOUNDS = {
    "saved-model": {"largest_difference": 1e-4, "top1_agreement": 0.995, "accuracy_drop": 0.005},
    "tflite": {"largest_difference": 1e-4, "top1_agreement": 0.995, "accuracy_drop": 0.005},
    "tflite-float16": {"largest_difference": 2e-2, "top1_agreement": 0.98, "accuracy_drop": 0.005},
    "tflite-int8": {"largest_difference": None, "top1_agreement": 0.95, "accuracy_drop": 0.01},
}


def time_limit(examples: int) -> float:
    """Returns the seconds after which the checking process is stopped. Only a process that hangs needs so many."""
    return 300 + 10 * examples


def check_file(path, form, images, expected, labels=None, *, bounds=None, encoded=None) -> dict:
    """Runs the exported file `path` in a fresh process and compares its outputs with those of Keras.

    Args:
        path: a .tflite file or a SavedModel's folder.
        form: `"saved-model"`, `"tflite"`, `"tflite-float16"` or `"tflite-int8"`.
        images: real images, uint8 pixels (examples, size, size, channels).
        expected: the probabilities that Keras gives for them, (examples, classes).
        labels: class indices (examples,), or `None` if the images have no labels.
        bounds: replaces entries of `BOUNDS[form]`; a bound of `None` is not checked.
        encoded: for a SavedModel, `(files, expected)`: encoded image files (bytes) and what Keras gives for them.

    Returns:
        The report: format, path, bytes, examples, largest_difference (of probabilities), top1_agreement, labelled (the
        number of examples with a label), accuracy, keras_accuracy, ops, flex_ops, float_islands, latency_ms (median,
        one image, TFLite on one thread), bounds, failures, passed.

    Raises:
        ExportError: if the file cannot be loaded or run, or takes longer than `time_limit`.
    """
    with tempfile.TemporaryDirectory(prefix="kerasnets-check-") as folder:
        np.save(Path(folder) / "images.npy", images)
        for number, content in enumerate(encoded[0] if encoded else ()):
            (Path(folder) / f"file-{number:04d}").write_bytes(content)
        found = _run_fresh(path, form, folder, time_limit(len(images)))
        actual = np.load(Path(folder) / "outputs.npy")
        if encoded:
            actual = np.concatenate([actual, np.load(Path(folder) / "outputs_of_files.npy")])
            expected = np.concatenate([expected, encoded[1]])
    report = {"format": form, "path": str(path), "bytes": size_in_bytes(path)}
    report |= compare(actual, expected, labels) | found
    report["bounds"] = {**BOUNDS[form], **(bounds or {})}
    report["failures"] = _failures(report)
    report["passed"] = not report["failures"]
    return report


def compare(actual: np.ndarray, expected: np.ndarray, labels=None) -> dict:
    """Compares probabilities (examples, classes). `labels`, if given, belong to the first examples."""
    report = {"examples": len(actual), "largest_difference": float(np.max(np.abs(actual - expected)))}
    report["top1_agreement"] = float(np.mean(actual.argmax(-1) == expected.argmax(-1)))
    report["labelled"] = 0 if labels is None else len(labels)
    for name, output in (("accuracy", actual), ("keras_accuracy", expected)):
        right = None if labels is None else float(np.mean(output[: len(labels)].argmax(-1) == labels))
        report[name] = right
    return report


def size_in_bytes(path: str | Path) -> int:
    """Returns the size of a file, or of all files of a folder."""
    path = Path(path)
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def _failures(report: dict) -> list[str]:
    """Returns a line for each bound that is not met. The comparisons are written so that NaN meets no bound."""
    bounds, failures = report["bounds"], []
    difference, agreement, drop = (bounds[name] for name in ("largest_difference", "top1_agreement", "accuracy_drop"))
    if difference is not None and not report["largest_difference"] <= difference:
        failures.append(f"largest difference from Keras {report['largest_difference']:.3g}, allowed {difference:g}")
    if agreement is not None and not report["top1_agreement"] >= agreement:
        share = f"{report['top1_agreement']:.2%} of {report['examples']} images"
        failures.append(f"top-1 agreement {share}, at least {agreement:.2%} required")
    if drop is not None and report["accuracy"] is not None:
        lost = report["keras_accuracy"] - report["accuracy"]
        if not lost <= drop:
            failures.append(f"accuracy {lost:.2%} of {report['labelled']} images below Keras, allowed {drop:.2%}")
    if report["flex_ops"]:
        failures.append(f"operators that need TensorFlow on the device: {', '.join(report['flex_ops'])}")
    if np.isnan(report["largest_difference"]):
        failures.append("the file or the network gives NaN")
    return failures


def _run_fresh(path, form: str, folder: str, seconds: float) -> dict:
    """Runs this module as a program, for at most `seconds`, and returns the JSON that it prints."""
    package_parent = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": search}
    command = [sys.executable, "-m", "kerasnets.exporters.check", str(Path(path).resolve()), form, folder]
    options = {"capture_output": True, "text": True, "env": environment, "cwd": folder}
    try:
        done = subprocess.run(command, timeout=seconds, **options)
    except subprocess.TimeoutExpired:
        raise ExportError(f"The check of the exported file did not end within {seconds:g} s.") from None
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    reason = lines[-1] if done.returncode > 0 and lines else f"its process ended with code {done.returncode}"
    raise ExportError(f"The exported file does not run: {reason}")


def main(path: str, form: str, folder: str) -> None:
    """Runs the file on the folder's images, writes outputs.npy there, and prints operators and latency as JSON."""
    images, seconds = np.load(Path(folder) / "images.npy"), []
    if form == "saved-model":
        from kerasnets.exporters.saved_model import load_saved_model, load_serve_bytes, saved_model_ops

        run = load_saved_model(path).run
        for image in images[:20]:
            _timed(run, image[np.newaxis], seconds)
        outputs = [run(images[start : start + 32]) for start in range(0, len(images), 32)]
        ops = {"ops": saved_model_ops(path), "flex_ops": [], "float_islands": []}
        files = [file.read_bytes() for file in sorted(Path(folder).glob("file-*"))]
        if files:
            np.save(Path(folder) / "outputs_of_files.npy", load_serve_bytes(path)(files))
    else:
        run = load_tflite(path).run
        outputs = [_timed(run, image[np.newaxis], seconds) for image in images]
        ops = summarise_ops(read_ops(path), quantised=form == "tflite-int8")
    np.save(Path(folder) / "outputs.npy", np.concatenate(outputs))
    print(json.dumps({**ops, "latency_ms": round(1000 * float(np.median(seconds)), 4)}))


def _timed(run, images, seconds: list[float]) -> np.ndarray:
    start = time.perf_counter()
    output = run(images)
    seconds.append(time.perf_counter() - start)
    return output


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(str(error).strip().replace("\n", " ") or type(error).__name__)
