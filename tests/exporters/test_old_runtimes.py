"""Older LiteRT runtimes, each in a virtual environment of its own, give what today's gives for every form."""

import json
import subprocess
import sys

import numpy as np
import pytest
from loaded_networks import filled_network

from kerasnets.exporters.files import FORMS, describe
from kerasnets.exporters.open_network import classifier
from kerasnets.exporters.tflite import load_tflite, tflite_bytes
from kerasnets.exporters.tflite_metadata import read_inside, with_metadata
from kerasnets.graph.fold import inference_form

pytestmark = pytest.mark.slow
# Wheel -> its module and what else its environment needs.
WHEELS = {
    "tflite-runtime==2.14.0": ("tflite_runtime", ["numpy<2"]),
    "ai-edge-litert==1.0.1": ("ai_edge_litert", ["numpy<2"]),
    "ai-edge-litert==1.2.0": ("ai_edge_litert", []),
}
TFLITE = [form for form in FORMS if form.startswith("tflite")]
# Squeeze-and-excitation with hard swish, local response normalisation, grouped convolutions, concatenation.
NETS = ("mobilenet_v3_small", "alexnet", "resnext50_32x4d", "densenet121")
PROGRAM = """
import importlib, json, sys
import numpy as np

module, folder = sys.argv[1:]
Interpreter = importlib.import_module(module + ".interpreter").Interpreter
for name, images in json.load(open(folder + "/files.json")).items():
    net = Interpreter(folder + "/" + name, num_threads=1)
    net.allocate_tensors()
    source, sink = net.get_input_details()[0], net.get_output_details()[0]
    outputs = []
    for image in np.load(folder + "/" + images):
        net.set_tensor(source["index"], image[None].astype(source["dtype"]))
        net.invoke()
        outputs.append(net.get_tensor(sink["index"])[0])
    scale, zero = sink["quantization"]
    found = np.float32(outputs)
    np.save(folder + "/" + name + ".npy", (found - zero) * np.float32(scale) if scale else found)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of the files of all networks and forms, and the oldest runtime that each names."""
    folder, named, stated = tmp_path_factory.mktemp("files"), {}, {}
    for name in NETS:
        net = filled_network(name)
        size, channels = net.preprocessing.size, len(net.preprocessing.mean)
        images = np.random.default_rng(0).integers(0, 256, (4, size, size, channels), "uint8")
        np.save(folder / f"{name}.npy", images)
        model = inference_form(classifier(net.model))
        for form in TFLITE:
            file = f"{name}{FORMS[form]}"
            content = tflite_bytes(model, net.preprocessing, form, images)
            (folder / file).write_bytes(with_metadata(content, describe(name, form, net.preprocessing, net.labels, "")))
            named[file], stated[file] = f"{name}.npy", read_inside(folder / file)["oldest_runtime"]
    (folder / "files.json").write_text(json.dumps(named))
    return folder, named, stated


@pytest.mark.parametrize("wheel", WHEELS)
def test_every_form_runs_the_same(wheel, files, tmp_path):
    module, others = WHEELS[wheel]
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    installed = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", wheel, *others], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"{wheel} cannot be installed here: {installed.stderr.splitlines()[-1]}")
    folder, named, _ = files
    done = subprocess.run([str(python), "-c", PROGRAM, module, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for file, images in named.items():
        ours = load_tflite(folder / file).run(np.load(folder / images))
        theirs = np.load(folder / f"{file}.npy")
        # Integer kernels may round one step of 1/256 apart, float ones in another order.
        assert np.abs(ours - theirs).max() < (1e-4 if file == images.replace(".npy", ".tflite") else 0.02), file


def test_every_file_names_a_runtime_that_is_not_newer_than_the_oldest_one_tried(files):
    versions = {file: tuple(map(int, stated.split("."))) for file, stated in files[2].items()}
    assert len(versions) == len(NETS) * len(TFLITE)
    assert all((1, 5, 0) <= version <= (2, 14, 0) for version in versions.values()), versions
