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
from kerasnets.exporters.intervals import drop_interval, share_interval
from kerasnets.exporters.loading import exported_ops, load_exported

_EXACT = {"largest_difference": 1e-4, "top1_agreement": 0.995, "accuracy_drop": 0.005}
_INTEGER = {"largest_difference": None, "top1_agreement": 0.95, "accuracy_drop": 0.01}
# The bounds that a file must meet. `accuracy_drop` applies only if the images have labels.
BOUNDS = {
    "saved-model": _EXACT,
    "tflite": _EXACT,
    "tflite-sparse": _EXACT,
    "tflite-float16": {"largest_difference": 2e-2, "top1_agreement": 0.98, "accuracy_drop": 0.005},
    "tflite-dynamic": _INTEGER,
    "tflite-int8": _INTEGER,
    "tflite-int16x8": {"largest_difference": 2e-2, "top1_agreement": 0.98, "accuracy_drop": 0.005},
    "tflite-full-integer": _INTEGER,
    "onnx": _EXACT,
}


def time_limit(examples: int) -> float:
    """Returns the seconds after which the checking process is stopped. Only a process that hangs needs so many."""
    return 300 + 10 * examples


def check_file(path, form, images, expected, labels=None, *, bounds=None, encoded=None) -> dict:
    """Runs the exported file `path` in a fresh process and compares its outputs with those of Keras.

    Args:
        path: a .tflite or .onnx file, or a SavedModel's folder.
        form: one of `files.FORMS`.
        images: real images, uint8 pixels (examples, size, size, channels).
        expected: the probabilities that Keras gives for them, (examples, classes).
        labels: those of the first images, as `compare` takes them, or `None` if the images have no labels.
        bounds: replaces entries of `BOUNDS[form]`; a bound of `None` is not checked.
        encoded: for a SavedModel, `(files, expected)`: encoded image files (bytes) and what Keras gives for them.

    Returns:
        The report: format, path, bytes, what `compare` gives, ops, flex_ops, float_islands, latency_ms (median, one
        image, a file on one thread), latency_all_threads_ms (a file on `threads` threads), bounds, failures (what is
        outside its bound, with the whole of its 95 % interval), undecided (bounds that lie inside an interval, because
        the images are too few), passed.

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
    report["failures"], report["undecided"] = _failures(report), _undecided(report)
    report["passed"] = not report["failures"]
    return report


def compare(actual: np.ndarray, expected: np.ndarray, labels=None) -> dict:
    """Compares probabilities (examples, classes). `labels`, if given, belong to the first examples.

    Labels are class indices (examples,), or 0 and 1 (examples, classes) of images with several classes: the most
    probable class is right there if it is one of them.

    Returns:
        `examples`, `largest_difference`, `top1_agreement`; `labelled`, `accuracy`, `keras_accuracy`, `accuracy_drop`,
        which are `None` without labels; and the 95 % intervals of the shares, as `top1_agreement_interval`.
    """
    ours, theirs = actual.argmax(-1), expected.argmax(-1)
    count, labelled = len(actual), 0 if labels is None else len(labels)
    is_right = [_is_right(classes[:labelled], labels) if labelled else np.zeros(0, bool) for classes in (ours, theirs)]
    right = [int(np.sum(each)) for each in is_right]
    report = {"examples": count, "largest_difference": float(np.max(np.abs(actual - expected))), "labelled": labelled}
    for name, agreeing, of in (
        ("top1_agreement", int(np.sum(ours == theirs)), count),
        ("accuracy", right[0], labelled),
        ("keras_accuracy", right[1], labelled),
    ):
        report[name] = agreeing / of if of else None
        report[f"{name}_interval"] = list(share_interval(agreeing, of)) if of else None
    report["accuracy_drop"] = (right[1] - right[0]) / labelled if labelled else None
    report["accuracy_drop_interval"] = None
    if labelled:
        both = int(np.sum(is_right[0] & is_right[1]))
        report["accuracy_drop_interval"] = list(drop_interval(right[1] - both, right[0] - both, labelled))
    return report


def _is_right(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return classes == labels if labels.ndim == 1 else labels[np.arange(len(classes)), classes] > 0


def size_in_bytes(path: str | Path) -> int:
    """Returns the size of a file, or of all files of a folder."""
    path = Path(path)
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def _failures(report: dict) -> list[str]:
    """Returns a line for each bound that is not met. The comparisons are written so that NaN meets no bound.

    A share is outside its bound only if its whole 95 % interval is.
    """
    bounds, failures = report["bounds"], []
    difference, agreement, drop = (bounds[name] for name in ("largest_difference", "top1_agreement", "accuracy_drop"))
    if difference is not None and not report["largest_difference"] <= difference:
        failures.append(f"largest difference from Keras {report['largest_difference']:.3g}, allowed {difference:g}")
    if agreement is not None and not report["top1_agreement_interval"][1] >= agreement:
        failures.append(f"top-1 agreement {_share(report, 'top1_agreement')}, at least {agreement:.2%} required")
    if drop is not None and report["accuracy"] is not None and not report["accuracy_drop_interval"][0] <= drop:
        failures.append(f"accuracy {_share(report, 'accuracy_drop')} below Keras, allowed {drop:.2%}")
    if report["flex_ops"]:
        failures.append(f"operators that need TensorFlow on the device: {', '.join(report['flex_ops'])}")
    if np.isnan(report["largest_difference"]):
        failures.append("the file or the network gives NaN")
    return failures


def _undecided(report: dict) -> list[str]:
    """Returns a line for each bound that the images are too few to decide.

    Without `largest_difference`, which exact forms are held to, nothing else says that a difference is small.
    """
    bounds, lines = report["bounds"], []
    if bounds["largest_difference"] is not None:
        return []
    if (bound := bounds["top1_agreement"]) is not None:
        low, high = report["top1_agreement_interval"]
        if low < bound <= high:
            lines.append(_too_few("top-1 agreement", _share(report, "top1_agreement"), f"at least {bound:.2%}"))
    if (bound := bounds["accuracy_drop"]) is not None and report["accuracy"] is not None:
        low, high = report["accuracy_drop_interval"]
        if low <= bound < high:
            lines.append(_too_few("accuracy below Keras", _share(report, "accuracy_drop"), f"at most {bound:.2%}"))
    return lines


def _too_few(what: str, measured: str, wanted: str) -> str:
    return (
        f"{what}: {measured}; the images are too few to say whether it is {wanted}; compare more, look at "
        "`kerasnets quantize-debug`, or train with quantisation"
    )


def _share(report: dict, name: str) -> str:
    """Returns a share with its interval and the number it refers to, `91.67% (78.17% to 97.13%) of 36 images`."""
    low, high = report[f"{name}_interval"]
    count = report["examples"] if name == "top1_agreement" else report["labelled"]
    return f"{report[name]:.2%} ({low:.2%} to {high:.2%}) of {count} images"


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
    images, seconds, threads = np.load(Path(folder) / "images.npy"), [], {}
    if form == "saved-model":
        from kerasnets.exporters.saved_model import load_serve_bytes

        run = load_exported(path).run
        for image in images[:20]:
            _timed(run, image[np.newaxis], seconds)
        outputs = [run(images[start : start + 32]) for start in range(0, len(images), 32)]
        files = [file.read_bytes() for file in sorted(Path(folder).glob("file-*"))]
        if files:
            np.save(Path(folder) / "outputs_of_files.npy", load_serve_bytes(path)(files))
    else:
        run = load_exported(path, threads=1).run
        outputs = [_timed(run, image[np.newaxis], seconds) for image in images]
        threads = _all_threads(path, images[:100])
    np.save(Path(folder) / "outputs.npy", np.concatenate(outputs))
    print(json.dumps(exported_ops(path, form) | {"latency_ms": _milliseconds(seconds)} | threads))


def _all_threads(path: str, images: np.ndarray) -> dict:
    """Measures a file on as many threads as this process may use."""
    threads, seconds = len(os.sched_getaffinity(0)), []
    run = load_exported(path, threads).run
    for image in images:
        _timed(run, image[np.newaxis], seconds)
    return {"threads": threads, "latency_all_threads_ms": _milliseconds(seconds)}


def _milliseconds(seconds: list[float]) -> float:
    return round(1000 * float(np.median(seconds)), 4)


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
