"""The page for browsers: its folder is whole, and in Chromium it gives what Python gives."""

import dataclasses
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from data_files import encode, photo, write_litert_js
from nets import fill
from PIL import Image

from kerasnets.cli.app import run
from kerasnets.data.images.per_image import evaluation_transform
from kerasnets.exporters.export import export
from kerasnets.exporters.open_network import open_network
from kerasnets.exporters.predict import open_predictor, predict
from kerasnets.exporters.web import PAGE, find_litert_js
from kerasnets.registry import GEOMETRIES, Preprocessing

NUMBERS = {"size": 24, "mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}
LABELS = ("ant", "bee", "<b>fly</b>")
# Where the real LiteRT.js is, for the test in a browser.
LITERT_JS = os.environ.get("KERASNETS_LITERT_JS", "node_modules/@litertjs")
BOUNDS = {"largest_difference": None, "top1_agreement": None}


def network(channels: int = 3, **numbers):
    inputs = keras.Input((24, 24, channels))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    net = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x)), name="insects")
    fill(net)
    chosen = NUMBERS | {"mean": NUMBERS["mean"][:channels], "std": NUMBERS["std"][:channels]} | numbers
    return open_network(net, preprocessing=chosen, labels=LABELS)


def test_the_folder_holds_all_that_the_page_names_and_an_older_one_is_replaced(tmp_path):
    script = write_litert_js(tmp_path / "js")
    for labels in (("a", "b", "c"), LABELS):
        net = open_network(network(), labels=labels)
        report = export(net, "web", output=tmp_path / "page", litert_js=script, bounds=BOUNDS, examples=4)
    page = tmp_path / "page"
    files = {str(file.relative_to(page)) for file in page.rglob("*") if file.is_file()}
    assert files == {
        *("index.html", "page.js", "pixels.js", "network.json", "network.tflite"),
        *("litert/core/index.js", "litert/wasm-utils/index.js"),
        *(f"litert/wasm/litert_wasm_{kind}internal.{end}" for kind in ("", "compat_") for end in ("js", "wasm")),
    }
    assert "http" not in (page / "index.html").read_text() + (page / "page.js").read_text()
    assert json.loads((page / "network.json").read_text())["labels"] == list(LABELS)
    assert report["format"] == "web" and report["path"] == str(page) and list(tmp_path.glob(".*")) == []
    assert report["bytes"] == sum((page / file).stat().st_size for file in files)
    assert open_predictor(page / "network.tflite").labels == LABELS


def test_without_litert_js_or_into_another_folder_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["export", "lenet5_modern", "--to", "web", "--allow-random"]
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "npm install @litertjs/core" in line and not list(tmp_path.iterdir())
    write_litert_js(tmp_path / "js")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert run([*words, "--litert-js", "js", "--output", "mine"]) == 2
    assert "needs its own folder" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]


# Reads {"images": [[height, width]], "cases": [preprocessing]} and writes the pixels of every case of every image.
NODE = """
import { toPixels } from "./pixels.mjs";
import fs from "fs";

const { images, cases } = JSON.parse(fs.readFileSync("cases.json"));
images.forEach(([height, width], number) => {
  const data = new Uint8Array(fs.readFileSync(`image${number}`));
  cases.forEach((numbers, each) => {
    fs.writeFileSync(`pixels${number}-${each}`, toPixels({ data, height, width }, numbers, 3).data);
  });
});
"""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_the_page_resizes_a_photo_as_evaluation_does(tmp_path):
    from sklearn.datasets import load_sample_images

    shapes, whole = [(213, 320), (200, 101), (24, 24), (11, 30)], load_sample_images().images[0]
    cases = [
        Preprocessing(size=40, interpolation=method, geometry=geometry)
        for method in ("bilinear", "bicubic", "lanczos3")
        for geometry in GEOMETRIES
    ]
    images = [whole[:height, :width] for height, width in shapes]
    for number, image in enumerate(images):
        opaque = np.full((*image.shape[:2], 1), 255, "uint8")
        (tmp_path / f"image{number}").write_bytes(np.concatenate([image, opaque], -1).tobytes())
    (tmp_path / "cases.json").write_text(json.dumps({"images": shapes, "cases": list(map(dataclasses.asdict, cases))}))
    shutil.copyfile(PAGE / "pixels.js", tmp_path / "pixels.mjs")
    (tmp_path / "run.mjs").write_text(NODE)
    subprocess.run(["node", "run.mjs"], cwd=tmp_path, check=True)
    for each, numbers in enumerate(cases):
        transform = evaluation_transform(numbers)
        for number, image in enumerate(images):
            found = np.frombuffer((tmp_path / f"pixels{number}-{each}").read_bytes(), "uint8")
            apart = np.abs(found.astype(int) - transform(image).numpy().reshape(-1))
            # A value near a half may be rounded the other way.
            assert apart.max() <= 1 and (apart > 0).mean() < 0.005, (numbers, image.shape)


@pytest.fixture(scope="module")
def browser():
    """A page of headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason='needs `pip install -e ".[browser]"`')
    path = shutil.which("chromium") or shutil.which("google-chrome") or pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=path, args=["--no-sandbox"])


def served(folder: Path):
    """Starts a server of a folder; returns it."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Real photos of many shapes, grey and colour, one upside down by its EXIF entry."""
    from sklearn.datasets import load_sample_images

    folder, images = tmp_path_factory.mktemp("photos"), load_sample_images().images
    for number, (height, width) in enumerate([(427, 640), (200, 101), (24, 24), (11, 30)]):
        Image.fromarray(images[number % 2][:height, :width]).save(folder / f"{number}.png")
    Image.fromarray(images[0]).save(folder / "photo.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 3
    Image.fromarray(images[1]).save(folder / "turned.jpg", quality=95, exif=turned)
    (folder / "grey.png").write_bytes(encode(photo(1)[..., 0], "PNG"))
    return sorted(folder.iterdir())


CASES = {
    "bilinear": {},
    "bicubic": {"interpolation": "bicubic", "crop_fraction": 1.0},
    "stretch": {"geometry": "stretch", "interpolation": "bicubic"},
    "pad": {"geometry": "pad"},
}


@pytest.fixture(scope="module")
def litert_js():
    try:
        return find_litert_js(LITERT_JS)
    except ValueError:
        pytest.skip("no LiteRT.js: `npm install @litertjs/core`, or KERASNETS_LITERT_JS names its folder")


def shown(page, path: Path) -> dict[str, float]:
    """Gives the page a photo, and returns the labels and bars that it shows."""
    page.set_input_files("#files", path)
    page.wait_for_selector(f"article:first-child img[alt='{path.name}'] + div p")
    lines = page.locator("article:first-child .class").all()
    return {
        line.locator("span").first.text_content(): line.locator("meter").evaluate("meter => meter.value")
        for line in lines
    }


@pytest.mark.slow
@pytest.mark.parametrize("form", ["web", "web-int8"])
@pytest.mark.parametrize("case", CASES)
def test_chromium_gives_the_probabilities_of_python(case, form, browser, litert_js, photos, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (16, 24, 24, 3), "uint8")
    export(network(**CASES[case]), form, images, tmp_path / "page", litert_js=litert_js, bounds=BOUNDS)
    answers = predict(open_predictor(tmp_path / "page" / "network.tflite"), photos, top=3)
    server, asked = served(tmp_path / "page"), []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.wait_for_selector("#files:not([disabled])")
        for path, answer in zip(photos, answers, strict=True):
            expected = {each["label"]: each["probability"] for each in answer["predictions"]}
            assert shown(page, path) == pytest.approx(expected, abs=0.02), path.name
        (tmp_path / "broken.jpg").write_bytes(b"no image")
        page.set_input_files("#files", tmp_path / "broken.jpg")
        page.wait_for_function("document.querySelector('article div').textContent.includes('cannot be read')")
        own = (f"http://127.0.0.1:{server.server_port}/", "blob:")
        assert all(url.startswith(own) for url in asked), asked
    finally:
        page.close()
        server.shutdown()
