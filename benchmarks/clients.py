"""Classifies the held-out photos of a run with every client of its exported file, and compares them with Python's.

    python benchmarks/clients.py runs/photos [runs/photos/photos_int8.tflite] [--litert-js node_modules/@litertjs]

* keras: `kerasnets predict` with the run itself;
* python: `kerasnets predict` with LiteRT;
* mediapipe: MediaPipe's own `ImageClassifier`, if it is installed;
* openvino: OpenVINO, if it is installed, with its own integer kernels and with the file's rounding in float32;
* browser: the page of `kerasnets export --to web` in headless Chromium, if Chromium and playwright are installed.

First all clients get the same pixels: each photo is decoded and resized once, as our evaluation does, and stored as a
PNG file of the input's size. What differs then is how a client computes. Then each client reads the photo files
itself, except OpenVINO, which has no code for that. MediaPipe stretches photos, so the run should have
`data.geometry: stretch`, as `kerasnets finetune` sets it.
"""

import argparse
import functools
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

MEDIAPIPE = """
import json, sys
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision

options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for photo in sys.stdin.read().splitlines():
        found = classifier.classify(mp.Image.create_from_file(photo)).classifications[0].categories
        print(json.dumps([each.score for each in sorted(found, key=lambda each: each.index)]))
"""


def held_out(run):
    """Returns the files and the labels of the held-out photos of a run."""
    from kerasnets.data.sources import open_source

    data = run.recipe.data
    source = open_source(data.source, data.evaluation_split)
    return [str(Path(path).resolve()) for path in source.paths], source.labels()


def python_client(target, files):
    import numpy as np

    from kerasnets.data.images.files import load_files
    from kerasnets.exporters.predict import open_predictor

    predictor = open_predictor(target)
    return predictor.run(np.stack(list(load_files([Path(file) for file in files], predictor.preprocessing))))


def mediapipe_client(path, files):
    import numpy as np

    command = [sys.executable, "-c", MEDIAPIPE, str(path)]
    done = subprocess.run(command, input="\n".join(files), capture_output=True, text=True, check=True)
    return np.array([json.loads(line) for line in done.stdout.splitlines()])


def openvino_client(path, files, **settings):
    import numpy as np
    import openvino

    from kerasnets.data.images.files import load_files
    from kerasnets.exporters.files import read_metadata

    pixels = np.stack(list(load_files([Path(file) for file in files], read_metadata(path)[0])))
    net = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", **settings})
    dtype = net.inputs[0].element_type.to_dtype()
    return np.concatenate([net(image[np.newaxis].astype(dtype))[0] for image in pixels])


def browser_client(path, files, litert_js):
    import numpy as np
    from playwright.sync_api import sync_playwright

    from kerasnets.exporters.web import find_litert_js, write_page

    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name)
        shutil.copyfile(path, folder / "network.tflite")
        write_page(folder, find_litert_js(litert_js))
        for number, file in enumerate(files):
            shutil.copyfile(file, folder / f"photo{number}")
        handler = functools.partial(QuietHandler, directory=name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"]).new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.wait_for_selector("#files:not([disabled])", timeout=60_000)
        code = "async url => network.classify(await network.decode(await (await fetch(url)).blob()))"
        found = [page.evaluate(code, f"photo{number}") for number in range(len(files))]
        milliseconds = sorted(each["milliseconds"] for each in found)[len(found) // 2]
        print(f"browser: median {milliseconds:.1f} ms a photo in LiteRT.js, one thread")
        server.shutdown()
    return np.array([each["probabilities"] for each in found])


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("file", nargs="?")
    parser.add_argument("--litert-js")
    options = parser.parse_args()
    from kerasnets.runs.folder import open_run

    run = open_run(options.run)
    path = Path(options.file or next(run.path.glob("*.tflite")))
    files, labels = held_out(run)
    with tempfile.TemporaryDirectory() as folder:
        for title, photos in (("same pixels", prepared(run, files, Path(folder))), ("photo files", files)):
            print(f"{title}: {len(photos)}")
            compare(answers(options.run, path, photos, options.litert_js), labels)


def prepared(run, files, folder):
    """Writes the pixels that our evaluation makes of photos as PNG files, and returns those."""
    from PIL import Image

    from kerasnets.data.images.files import load_files

    made = []
    for number, pixels in enumerate(load_files([Path(file) for file in files], run.preprocessing)):
        made.append(str(folder / f"{number:04d}.png"))
        Image.fromarray(pixels).save(made[-1])
    return made


def answers(run, path, files, litert_js):
    """Returns what each client that is there gives for photos: name -> probabilities (photos, classes)."""
    clients = {"keras": lambda: python_client(run, files), "python": lambda: python_client(path, files)}
    if importlib.util.find_spec("mediapipe"):
        clients["mediapipe"] = lambda: mediapipe_client(path, files)
    if importlib.util.find_spec("openvino"):
        clients["openvino"] = lambda: openvino_client(path, files)
        clients["openvino, rounding in float32"] = lambda: openvino_client(path, files, LP_TRANSFORMS_MODE=False)
    if importlib.util.find_spec("playwright") and shutil.which("chromium"):
        clients["browser"] = lambda: browser_client(path, files, litert_js)
    return {name: client() for name, client in clients.items()}


def compare(found, labels):
    """Prints a line for each client, compared with Python's LiteRT."""
    import numpy as np

    for name, output in found.items():
        same = int(np.sum(output.argmax(-1) == found["python"].argmax(-1)))
        right = int(np.sum(output.argmax(-1) == labels))
        apart = np.abs(output - found["python"]).max(-1)
        print(f"{name}: right {right} of {len(labels)}; top-1 of python on {same};", end=" ")
        print(f"largest difference {apart.max():.4f}; more than 0.02 on {int(np.sum(apart > 0.02))}")


if __name__ == "__main__":
    main()
