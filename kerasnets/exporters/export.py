"""The export of a network: converted, run in a fresh process, compared with Keras, and only then put in its place."""

import json
import tempfile
from pathlib import Path

import numpy as np

from kerasnets.exporters.check import ExportError, check_file
from kerasnets.exporters.files import check_labels, write_sidecar
from kerasnets.exporters.images import calibration_images, check_images
from kerasnets.exporters.network import classifier, inference_form, probabilities
from kerasnets.exporters.open_network import Target, open_target
from kerasnets.exporters.place import FORMS, find_place, put, workshop
from kerasnets.registry import did_you_mean
from kerasnets.runs.checkpoints import write_atomically

# What a run of a TFLite file on this machine cannot show.
_UNCHECKED = ("decoding and resizing, which the program around the file does", "the speed on another device")


def export(
    target,
    to: str,
    calibrate=None,
    output=None,
    *,
    weights=None,
    allow_random: bool = False,
    bounds=None,
    examples: int = 500,
) -> dict:
    """Exports a trained network and checks the exported file.

    The file is written beside its final place, loaded in a fresh process, run on real images and compared with Keras.
    If it lies within its bounds it takes its final name; if not, nothing is left, and an older file of that name
    stays.

    Args:
        target: a run folder, or a network's name.
        to: `"saved-model"`, `"tflite"`, `"tflite-float16"` or `"tflite-int8"`.
        calibrate: where real images come from, a source's name (`"digits"`) or a folder with one sub-folder a class:
            training images set the ranges of int8, held-out ones are compared. A run has its own; a network by name
            needs one for int8. Without, a network of colour images is compared on crops of two photos and one of grey
            images on handwritten digits.
        output: where to; `None` is `saved_models/<name>` with the form's ending, in the current folder.
        weights: for a network by name, what its builder takes.
        allow_random: export a network by name with the random weights that it is built with.
        bounds: replaces entries of `check.BOUNDS[to]`, for example `{"largest_difference": 1e-3}`; `None` switches
            one off.
        examples: the largest number of images to compare.

    Returns:
        The report of `check.check_file`, with `images` (where they came from) and `not_checked` (what the comparison
        cannot show); a run also keeps it in its exports.json.

    Raises:
        ValueError: for a request that cannot be met.
        ExportError: for a network that cannot be converted, or a file outside its bounds (`error.report` has the
            figures).
        OSError: if the place or the run's folder cannot be written.
    """
    if to not in FORMS:
        raise ValueError(f"`to` should be one of {', '.join(FORMS)}.{did_you_mean(to, FORMS)} Received: to={to!r}")
    if examples < 1:
        raise ValueError(f"`examples` should be a positive integer. Received: examples={examples}")
    target = target if isinstance(target, Target) else open_target(target, weights)
    if target.random and not allow_random:
        raise ValueError(
            "A network by name is exported with its weights (--weights); `allow_random=True` (--allow-random) exports "
            f"random ones. Received: target={target.name!r}, weights=None"
        )
    if target.run is not None:
        _check_record(target.run)
    place = find_place(output, target.name, to)
    net = classifier(target.model)
    check_labels(target.labels, net.output_shape[-1], target.name)
    with workshop(place) as folder:
        draft = Path(folder) / place.name
        _write(inference_form(net), target, to, calibrate, draft)
        report = _check(net, target, to, calibrate, draft, bounds=bounds, examples=examples)
        report["path"] = str(place)
        if not report["passed"]:
            raise ExportError(f"{place} was not written: {'; '.join(report['failures'])}", report)
        write_sidecar(draft, to, target.preprocessing, target.labels, target.name)
        put(draft, place, Path(folder))
    if target.run is not None:
        _keep_report(target.run, report)
    return report


def _write(net, target: Target, form: str, calibrate, draft: Path) -> None:
    if form == "saved-model":
        from kerasnets.exporters.saved_model import write_saved_model

        return write_saved_model(net, target.preprocessing, draft)
    from kerasnets.exporters.tflite import tflite_bytes

    images = calibration_images(target, calibrate) if form == "tflite-int8" else None
    draft.write_bytes(tflite_bytes(net, target.preprocessing, form, images))


def _check(net, target: Target, form: str, calibrate, draft: Path, *, bounds, examples: int) -> dict:
    images = check_images(target, calibrate, examples)
    expected = probabilities(net, images.pixels, target.preprocessing)
    encoded = _encoded(net, target, images.pixels[:4], draft.parent) if form == "saved-model" else None
    report = check_file(draft, form, images.pixels, expected, images.labels, bounds=bounds, encoded=encoded)
    unchecked = ["trained weights: these are random"] * target.random
    unchecked += [*images.unchecked, *(() if form == "saved-model" else _UNCHECKED)]
    return report | {"images": images.origin, "not_checked": unchecked}


def _encoded(net, target: Target, images: np.ndarray, folder: Path) -> tuple[list[bytes], np.ndarray]:
    """Writes images as PNG files; returns their bytes and what Keras gives when they are read as files."""
    import tensorflow as tf

    from kerasnets.data.pipeline import load_image

    files, pixels = [], []
    for image in images:
        file = folder / "check.png"
        file.write_bytes(tf.io.encode_png(image).numpy())
        files.append(file.read_bytes())
        pixels.append(np.asarray(load_image(file, target.preprocessing)))
    return files, probabilities(net, np.stack(pixels), target.preprocessing)


def _check_record(run: Path) -> None:
    """Makes sure, before the work, that a run's exports.json can be read and written."""
    _record(run)
    try:
        tempfile.TemporaryFile(dir=run).close()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"The run folder {str(run)!r} cannot be written, for its exports.json: {reason}") from None


def _record(run: Path) -> list[dict]:
    path = run / "exports.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    except ValueError as error:
        raise ValueError(f"{path} is damaged; delete it to begin a new one: {error}") from None


def _keep_report(run: Path, report: dict) -> None:
    """Adds a report to the run's exports.json, in the place of an older one of the same file."""
    older = _record(run)
    reports = [entry for entry in older if (entry["format"], entry["path"]) != (report["format"], report["path"])]
    write_atomically(run / "exports.json", json.dumps([*reports, report], indent=2) + "\n")
