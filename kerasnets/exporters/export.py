"""Export a network: convert it, check the file in a fresh process, and only then move it to its final path."""

import json
from pathlib import Path

import numpy as np

from kerasnets.exporters.check import check_file, size_in_bytes
from kerasnets.exporters.client import through_client
from kerasnets.exporters.files import (
    CALIBRATED,
    FORMS,
    PAGE_NETWORK,
    PAGES,
    ExportError,
    check_labels,
    describe,
    final_path,
    move_into_place,
    temporary_folder,
    weights_sha256,
    write_metadata,
    zipped_bytes,
)
from kerasnets.exporters.images import calibration_images, check_images, has_images
from kerasnets.exporters.open_network import LoadedNetwork, classifier, open_network, probabilities
from kerasnets.exporters.own_images import is_own, own_images
from kerasnets.exporters.quantized import in_form
from kerasnets.exporters.tflite_metadata import read_inside, with_metadata
from kerasnets.exporters.web import find_litert_js, write_page
from kerasnets.graph.fold import inference_form
from kerasnets.registry import did_you_mean
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.folder import check_writable

# What running a file on this machine cannot show.
_UNCHECKED = ("decoding and resizing, which the program that uses the file does", "the speed on another device")
_HINT = (
    ". `kerasnets quantize-debug` shows which layers lose accuracy; more images, --keep-float, training with "
    "quantisation (the recipe key quantize) or another form (tflite-int16x8, tflite-dynamic, tflite-float16) can help"
)


def export(  # noqa: PLR0913 - one argument for each choice of a user
    target,
    to: str,
    calibrate=None,
    output=None,
    *,
    weights=None,
    preprocessing=None,
    labels=None,
    allow_random: bool = False,
    bounds=None,
    examples: int = 1000,
    strict: bool = False,
    litert_js=None,
    keep_float=(),
) -> dict:
    """Exports a trained network and checks the exported file.

    The file is written to a temporary folder, loaded in a fresh process, run on real images and compared with Keras. If
    it meets its bounds, it is moved to its final path. If not, it is deleted, and an older file at that path stays.

    Args:
        target: a run folder, a .keras file, a model, or a model's name.
        to: one of `files.FORMS`: `"saved-model"`, `"tflite"`, `"tflite-sparse"`, `"tflite-float16"`,
            `"tflite-dynamic"`, `"tflite-int8"`, `"tflite-int16x8"`, `"tflite-full-integer"`, `"onnx"`, `"web"` or
            `"web-int8"`.
        calibrate: real images: an array, `(images, labels)` or a `tf.data.Dataset` of pixels 0-255; `"digits"`, an .npz
            file, `"tfds:NAME"`, a folder of shards, or a folder of images with or without class sub-folders. Training
            images set the ranges of integers. Held-out images, and then training images, are compared. A run has its
            own images; any other target needs `calibrate` for the integer forms. Without images, a network for colour
            images is compared on crops of two photos, and one for grey images on handwritten digits.
        output: the exported file or folder; `None` is `saved_models/<name>` with the form's ending.
        weights: for a model's name, what its builder takes.
        preprocessing, labels: for a model that does not carry them; see `open_network`.
        allow_random: export a model's name without weights, with random ones.
        bounds: replaces entries of `check.BOUNDS[to]`, for example `{"largest_difference": 1e-3}`; a bound of `None` is
            not checked.
        examples: the largest number of images to compare.
        strict: refuse an integer file in which an operator computes in float.
        litert_js: for a page, the folder of LiteRT.js; see `web.find_litert_js`.
        keep_float: names of layers that compute in float in an 8-bit file.

    Returns:
        The report of `check.check_file`, with `zipped_bytes` (the size of a zip file of it), `images` (where they come
        from), `not_checked` (what the comparison cannot show), `oldest_runtime` (the release of TensorFlow Lite that a
        .tflite file needs) and `client` (see `client.through_client`). A run folder keeps it in exports.json.

    Raises:
        ValueError: for wrong arguments.
        ExportError: for a network that cannot be converted, or a file that does not meet its bounds (`error.report`
            holds the measurements).
        OSError: if the final path or the run's folder cannot be written.
    """
    if to not in FORMS:
        raise ValueError(f"`to` should be one of {', '.join(FORMS)}.{did_you_mean(to, FORMS)} Received: to={to!r}")
    if examples < 1:
        raise ValueError(f"`examples` should be a positive integer. Received: examples={examples}")
    network = open_network(target, weights, preprocessing=preprocessing, labels=labels)
    if network.random and not allow_random:
        raise ValueError(
            "A model that is given by name is exported with its weights (--weights). `allow_random=True` "
            f"(--allow-random) exports random ones. Received: target={network.name!r}, weights=None"
        )
    if network.run is not None:
        _check_record(network.run)
    place = final_path(output, network.name, to)
    litert_js = find_litert_js(litert_js) if to in PAGES else None
    model = in_form(classifier(network.model), PAGES.get(to, to))
    check_labels(network.labels, model.output_shape[-1], network.name)
    if is_own(calibrate):
        calibrate = own_images(calibrate, network.preprocessing, 2 * examples)
    with temporary_folder(place) as folder:
        draft, form = Path(folder) / place.name, PAGES.get(to, to)
        file = _file_in(draft, to)
        _write(inference_form(model), network, form, calibrate, file, keep_float)
        report = _check(model, network, form, calibrate, file, bounds=bounds, examples=examples)
        report |= {"format": to, "path": str(place)}
        _refuse(report, form, strict)
        if litert_js is not None:
            write_page(draft, litert_js)
            report["bytes"] = size_in_bytes(draft)
        report["zipped_bytes"] = zipped_bytes(draft)
        move_into_place(draft, place, Path(folder))
    if network.run is not None:
        _keep_report(network.run, report)
    return report


def _file_in(draft: Path, to: str) -> Path:
    """Returns where the exported file goes: the draft itself, or inside the folder of a page."""
    if to not in PAGES:
        return draft
    draft.mkdir()
    return draft / PAGE_NETWORK


def _refuse(report: dict, form: str, strict: bool) -> None:
    """Raises ExportError for a report with failures."""
    if strict and report["float_islands"]:
        report["failures"].append(f"operators in float: {', '.join(report['float_islands'])}")
        report["passed"] = False
    if not report["passed"]:
        hint = _HINT if form in CALIBRATED else ""
        raise ExportError(f"{report['path']} was not written: {'; '.join(report['failures'])}{hint}", report)


def _write(model, network: LoadedNetwork, form: str, calibrate, draft: Path, keep_float=()) -> None:
    about = describe(network.name, form, network.preprocessing, network.labels, weights_sha256(network.model))
    if form == "saved-model":
        from kerasnets.exporters.saved_model import write_saved_model

        # TensorFlow Serving serves folders of versions.
        write_saved_model(model, network.preprocessing, network.labels, draft / "1")
        return write_metadata(draft, about)
    if form == "onnx":
        from kerasnets.exporters.onnx import write_onnx

        return write_onnx(model, network.preprocessing, about, draft)
    from kerasnets.exporters.quantized import tflite_of

    draft.write_bytes(with_metadata(tflite_of(model, network, form, calibrate, keep_float), about))


def _check(model, network: LoadedNetwork, form: str, calibrate, draft: Path, *, bounds, examples: int) -> dict:
    images = check_images(network, calibrate, examples)
    pixels, origin, left = images.pixels, images.origin, examples - len(images.pixels)
    if left > 0 and has_images(network, calibrate):
        training = calibration_images(network, calibrate, left)
        pixels, origin = np.concatenate([pixels, training]), f"{origin}; {len(training):,} training images"
    expected = probabilities(model, pixels, network.preprocessing)
    encoded = _encoded(model, network, pixels[:4], draft.parent) if form == "saved-model" else None
    report = check_file(draft, form, pixels, expected, images.labels, bounds=bounds, encoded=encoded)
    unchecked = ["trained weights: these are random"] * network.random
    unchecked += [*images.unchecked, *(() if form == "saved-model" else _UNCHECKED)]
    return report | {
        "images": origin,
        "not_checked": unchecked,
        "oldest_runtime": read_inside(draft)["oldest_runtime"] if form.startswith("tflite") else "",
        "client": through_client(network, draft, examples) if form.startswith("tflite") else None,
    }


def _encoded(model, network: LoadedNetwork, images: np.ndarray, folder: Path) -> tuple[list[bytes], np.ndarray]:
    """Returns images as the contents of PNG files, and what Keras gives when it reads those files."""
    import tensorflow as tf

    from kerasnets.data.images.per_image import load_image

    files, pixels = [], []
    for image in images:
        file = folder / "check.png"
        file.write_bytes(tf.io.encode_png(image).numpy())
        files.append(file.read_bytes())
        pixels.append(np.asarray(load_image(file, network.preprocessing)))
    return files, probabilities(model, np.stack(pixels), network.preprocessing)


def _check_record(run: Path) -> None:
    """Raises an error, before the long work, if a run's exports.json cannot be read or written."""
    _record(run)
    check_writable(run, "exports.json")


def _record(run: Path) -> list[dict]:
    path = run / "exports.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    except ValueError as error:
        raise ValueError(f"{path} is damaged. Delete it to start a new one. {error}") from None


def _keep_report(run: Path, report: dict) -> None:
    """Adds a report to the run's exports.json. It replaces an older one about the same file."""
    older = _record(run)
    reports = [entry for entry in older if (entry["format"], entry["path"]) != (report["format"], report["path"])]
    write_atomically(run / "exports.json", json.dumps([*reports, report], indent=2) + "\n")
