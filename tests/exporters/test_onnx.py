"""ONNX files: ONNX Runtime gives what Keras gives, and what is missing or damaged is said in one line."""

import json
import sys

import numpy as np
import pytest
from loaded_networks import filled_network

from kerasnets.cli.app import run
from kerasnets.exporters.export import export
from kerasnets.exporters.files import read_metadata
from kerasnets.exporters.onnx import load_onnx
from kerasnets.exporters.open_network import probabilities

FILLED = {"top1_agreement": None, "accuracy_drop": None}  # the weights are filled, not trained


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A network with grouped convolutions, and its ONNX file."""
    pytest.importorskip("tf2onnx", reason='needs `pip install -e ".[onnx]"`')
    net, place = filled_network("resnext50_32x4d"), tmp_path_factory.mktemp("onnx") / "net.onnx"
    export(net, "onnx", output=place, examples=8, bounds=FILLED)
    return net, place


def test_another_program_reads_names_shapes_labels_and_any_batch(written):
    import onnxruntime

    net, place = written
    session = onnxruntime.InferenceSession(str(place))
    source, sink = session.get_inputs()[0], session.get_outputs()[0]
    size, classes = net.preprocessing.size, len(net.labels)
    assert (source.name, source.shape) == ("image", ["batch", size, size, 3])
    assert (sink.name, sink.shape) == ("probabilities", ["batch", classes])
    about = json.loads(session.get_modelmeta().custom_metadata_map["network.json"])
    assert about["labels"] == list(net.labels) and about["input"]["shape"] == [None, size, size, 3]
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), "uint8")
    found = session.run(None, {"image": pixels.astype("float32")})[0]
    np.testing.assert_allclose(found, probabilities(net.model, pixels, net.preprocessing), atol=1e-5)


def test_each_grouped_convolution_is_one_operator_and_batch_norm_is_folded(written):
    import onnx

    nodes = onnx.load(str(written[1])).graph.node
    groups = [entry.i for node in nodes for entry in node.attribute if entry.name == "group" and entry.i > 1]
    grouped = [layer for layer in written[0].model.layers if getattr(layer, "groups", 1) > 1]
    assert len(groups) == len(grouped) > 0
    assert "BatchNormalization" not in {node.op_type for node in nodes}


def test_openvino_reads_it(written):
    openvino = pytest.importorskip("openvino")
    net, place = written
    size = net.preprocessing.size
    pixels = np.random.default_rng(1).integers(0, 256, (2, size, size, 3)).astype("float32")
    found = openvino.Core().compile_model(str(place), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels)[0]
    np.testing.assert_allclose(found, load_onnx(place).run(pixels), atol=1e-5)


def test_a_damaged_file_is_refused_in_one_line(written, tmp_path, capsys):
    content = written[1].read_bytes()
    for name, damaged in (("cut", content[: len(content) // 2]), ("text", b"no network at all"), ("empty", b"")):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name}.onnx"):
            read_metadata(path)
        assert run(["predict", str(path), "photo.jpg"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_changed_weights_are_noticed(written, tmp_path):
    import onnx

    model, path = onnx.load(str(written[1])), tmp_path / "changed.onnx"
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = largest.raw_data[::-1]
    onnx.save(model, str(path))
    with pytest.raises(ValueError, match="description is that of another file"):
        read_metadata(path)


def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    place = tmp_path / "net.onnx"
    place.write_bytes(b"older")
    assert run(["export", "lenet5_modern", "--to", "onnx", "--allow-random", "--output", str(place)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "kerasnets[onnx]" in line and place.read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1
