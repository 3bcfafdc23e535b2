"""Exports variants to every format, runs the files, and writes the tables of docs/formats.md.

    python docs/make_formats.py NAME... [--litert-js node_modules/@litertjs]     # measures these variants
    python docs/make_formats.py                                                 # writes the page again

Weights are random. The statistics of batch normalisation are those of 30 crops of scikit-learn's two photos (digits for
grey networks), and the last layer is scaled so that the classes of the crops differ. Half of the crops calibrate int8,
all of them are compared. formats.json keeps what was measured.
"""

import argparse
import base64
import contextlib
import dataclasses
import functools
import http.server
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
RECORD, PAGE = FOLDER / "formats.json", FOLDER / "formats.md"
SIZES = {"saved-model": "SavedModel", "tflite": "TFLite float32", "tflite-int8": "TFLite int8", "onnx": "ONNX"}
RUN = {
    "saved-model": "SavedModel",
    "tflite": "TFLite float32",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "web": "LiteRT.js",
    "tflite-int8": "TFLite int8",
}
PAGE_TEXT = """# Formats

{counts} variants were exported to every format and run. `docs/make_formats.py` makes this page. It builds each
variant with random weights, so the figures say that a file computes what Keras computes; they do not say how accurate a
network is. Compared are 30 crops of photos, or digits for grey networks. OpenVINO and, in headless Chromium, LiteRT.js
run the TFLite float32 file. A dash: not run.

## Sizes in MB

{sizes}

## Largest difference of a probability

From Keras.

{differences}

## Top-1 agreement

With Keras, in percent. Random weights leave small margins between the classes, so the int8 file of a trained network
agrees more often ([Quantisation](export.md)).

{agreements}
{reasons}
Not run: {missing}.
"""


def images_for(numbers) -> np.ndarray:
    """Returns pixels (examples, size, size, channels)."""
    from kerasnets.data.sources import open_source
    from kerasnets.exporters.images import sample, sample_photos
    from kerasnets.recipe.data_options import DataOptions, SourceOptions

    if len(numbers.mean) == 3:
        return sample_photos(numbers, 30)
    data = DataOptions(source=SourceOptions(kind="digits"))
    return sample(open_source(data.source, data.evaluation_split), numbers, 30)[0]


def spread_out(model, images: np.ndarray, numbers) -> None:
    """Sets the statistics of batch normalisation from the images, and scales the last layer."""
    import keras

    from kerasnets.data.images.per_image import normalise
    from kerasnets.exporters.open_network import probabilities

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(normalise(images, numbers), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    logits = np.log(np.maximum(probabilities(model, images, numbers), 1e-30))
    last = next(layer for layer in reversed(model.layers) if hasattr(layer, "kernel"))
    if last.kernel.shape[-1] != logits.shape[-1] or getattr(last, "bias", None) is None:
        return
    scale = 3 / max(float((logits - logits.mean(0)).std()), 1e-6)
    last.kernel.assign(scale * last.kernel)
    last.bias.assign(scale * (last.bias - logits.mean(0)))


def exported(model, numbers, images, folder: Path) -> dict:
    """Returns format -> (bytes, pixels -> probabilities), or a text that says why there is none."""
    from kerasnets.exporters.check import size_in_bytes
    from kerasnets.exporters.files import FORMS, ExportError, describe
    from kerasnets.exporters.loading import load_exported
    from kerasnets.exporters.onnx import write_onnx
    from kerasnets.exporters.saved_model import write_saved_model
    from kerasnets.exporters.tflite import tflite_bytes
    from kerasnets.exporters.tflite_metadata import with_metadata
    from kerasnets.graph.fold import inference_form

    labels = tuple(map(str, range(model.output_shape[-1])))
    folded, found = inference_form(model), {}
    # The page prepares an image as the description says; these images have the network's size already.
    uncropped = dataclasses.replace(numbers, geometry="stretch")
    for form in SIZES:
        path, about = folder / f"net{FORMS[form] or '_saved_model'}", describe("net", form, uncropped, labels, "")
        start = time.perf_counter()
        try:
            if form == "saved-model":
                write_saved_model(folded, numbers, labels, path)
            elif form == "onnx":
                write_onnx(folded, numbers, about, path)
            else:
                path.write_bytes(with_metadata(tflite_bytes(folded, numbers, form, images[::2]), about))
            found[form] = size_in_bytes(path), load_exported(path).run
        except ExportError as error:
            found[form] = str(error)
        print(f"  {form}: {time.perf_counter() - start:.0f} s", flush=True)
    return found


def openvino_runner(path: Path):
    """Returns what runs a TFLite file in OpenVINO."""
    import openvino

    net = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: np.concatenate([net(image[np.newaxis].astype("float32"))[0] for image in images])


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and prints nothing about it."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def chromium(folder: Path):
    """Yields what runs the page of a folder in headless Chromium: pixels -> probabilities."""
    import tensorflow as tf
    from playwright.sync_api import sync_playwright

    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = "async url => (await network.classify(await network.decode(await (await fetch(url)).blob()))).probabilities"

    def one(page, image):
        png = base64.b64encode(tf.io.encode_png(image).numpy()).decode()
        return page.evaluate(code, f"data:image/png;base64,{png}")

    with sync_playwright() as started:
        page = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"]).new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.wait_for_selector("#files:not([disabled])", timeout=60_000)
        yield lambda images: np.array([one(page, image) for image in images])
    server.shutdown()


def compared(run, images, expected) -> list[float]:
    """Returns the largest difference from Keras and the top-1 agreement."""
    found = run(images)
    agreement = float(np.mean(found.argmax(-1) == expected.argmax(-1)))
    return [float(np.abs(found - expected).max()), agreement]


def measure(name: str, litert_js: str | None) -> dict:
    """Exports a variant; returns format -> `{"bytes", "difference", "agreement"}` or `{"reason"}`."""
    from kerasnets.build import create_model
    from kerasnets.exporters.open_network import classifier, probabilities
    from kerasnets.weights.preprocess import preprocessing_of

    model = classifier(create_model(name))
    numbers = preprocessing_of(model)
    images, rows = images_for(numbers), {}
    spread_out(model, images, numbers)
    expected = probabilities(model, images, numbers)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = exported(model, numbers, images, folder)
        for form, file in files.items():
            rows[form] = {"reason": file} if isinstance(file, str) else compare_row(file[1], images, expected, file[0])
        rows["openvino"] = attempt(lambda: compare_row(openvino_runner(folder / "net.tflite"), images, expected))
        if litert_js:
            rows["web"] = attempt(lambda: in_browser(folder, litert_js, images, expected))
    return rows


def compare_row(run, images, expected, size: int | None = None) -> dict:
    difference, agreement = compared(run, images, expected)
    return {"bytes": size, "difference": difference, "agreement": agreement}


def in_browser(folder: Path, litert_js: str, images, expected) -> dict:
    from kerasnets.exporters.web import find_litert_js, write_page

    page = folder / "page"
    page.mkdir()
    shutil.copyfile(folder / "net.tflite", page / "network.tflite")
    write_page(page, find_litert_js(litert_js))
    with chromium(page) as run:
        return compare_row(run, images, expected)


def attempt(measured) -> dict:
    try:
        return measured()
    except Exception as error:  # The row says why a runtime refuses a file.
        return {"reason": " ".join(str(error).split())[:200]}


def table(rows: dict, columns: dict[str, str], figure) -> str:
    lines = ["| variant | " + " | ".join(columns.values()) + " |", "| --- |" + " ---: |" * len(columns)]
    for name, row in rows.items():
        cells = [figure(row[form]) if "reason" not in row.get(form, {"reason": ""}) else "–" for form in columns]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page_text(rows: dict) -> str:
    """Returns the page of what was measured."""
    from kerasnets.model_index import read_model_index

    names = sorted(read_model_index())
    rows = {name: rows[name] for name in names if name in rows}
    reasons = [
        f"* `{name}`, {RUN[form]}: {found['reason']}\n"
        for name, row in rows.items()
        for form, found in row.items()
        if "reason" in found
    ]
    reasons = "\nA dash means that there is no such file:\n\n" + "".join(reasons) if reasons else ""
    values = {
        "sizes": table(rows, SIZES, lambda found: f"{found['bytes'] / 1e6:.2f}"),
        "differences": table(rows, RUN, lambda found: f"{found['difference']:.1e}"),
        "agreements": table(rows, RUN, lambda found: f"{100 * found['agreement']:.0f}"),
        "reasons": reasons,
        "missing": ", ".join(f"`{name}`" for name in names if name not in rows) or "none",
        "counts": f"{len(rows)} of {len(names)}",
    }
    return PAGE_TEXT.format(**values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--litert-js")
    options = parser.parse_args()
    rows = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    for name in options.names:
        print(name, flush=True)
        rows[name] = measure(name, options.litert_js)
        RECORD.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page_text(rows), encoding="utf-8")
    PAGE.write_text(page_text(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
