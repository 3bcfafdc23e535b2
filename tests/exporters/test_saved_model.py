"""SavedModels: each variable once, and the same operators on every machine."""

import base64
import json
import math
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from data_files import encode, photo
from loaded_networks import filled_network

from kerasnets.data.images.per_image import evaluation_transform
from kerasnets.exporters.export import export
from kerasnets.exporters.open_network import probabilities
from kerasnets.layers.grouped_conv import GroupedConv2D

FILLED = {"top1_agreement": None, "accuracy_drop": None}  # the weights are filled, not trained


@pytest.fixture(scope="module")
def mobile(tmp_path_factory):
    """A MobileNetV2, its SavedModel's folder and the report."""
    net, place = filled_network("mobilenet_v2"), tmp_path_factory.mktemp("saved") / "net"
    return net, place, export(net, "saved-model", output=place, examples=8, bounds=FILLED)


def test_each_variable_is_written_once(mobile):
    net, place, _ = mobile
    values = sum(4 * math.prod(variable.shape) for variable in net.model.weights)
    written = sum(file.stat().st_size for file in (place / "1" / "variables").glob("variables.data*"))
    assert 0.8 * values < written < 1.01 * values


def test_batch_norm_is_folded(mobile):
    net, _, report = mobile
    weighted = sum(hasattr(layer, "kernel") for layer in net.model.layers)
    found = {name: report["ops"].get(name, 0) for name in ("FusedBatchNormV3", "Rsqrt", "BiasAdd")}
    assert found == {"FusedBatchNormV3": 0, "Rsqrt": 0, "BiasAdd": weighted}
    assert report["largest_difference"] < 1e-5


def test_names_of_inputs_and_outputs(mobile):
    loaded = tf.saved_model.load(str(mobile[1] / "1"))
    named = {
        name: (set(signature.structured_input_signature[1]), set(signature.structured_outputs))
        for name, signature in loaded.signatures.items()
    }
    assert named == {
        "serving_default": ({"images"}, {"probabilities"}),
        "serve_bytes": ({"files"}, {"probabilities", "errors"}),
        "classify": ({"files"}, {"labels", "scores", "errors"}),
    }


def test_keras_reads_it_as_a_layer(mobile):
    net, place, _ = mobile
    images = np.random.default_rng(0).uniform(0, 255, (3, *net.model.input_shape[1:])).astype("float32")
    layer = keras.layers.TFSMLayer(str(place / "1"), call_endpoint="serving_default")
    expected = probabilities(net.model, images, net.preprocessing)
    np.testing.assert_allclose(layer(images)["probabilities"], expected, atol=1e-5)


@pytest.fixture(scope="module")
def files(mobile):
    """The contents of two photos of different sizes, with a broken file between them."""
    photos = [encode(photo(number, height=50 + number), "JPEG") for number in range(2)]
    return [photos[0], b"\xff\xd8 and then nothing", photos[1]]


def test_a_broken_file_gets_an_error_of_its_own(mobile, files):
    net, place, _ = mobile
    serve = tf.saved_model.load(str(place / "1")).signatures["serve_bytes"]
    found = {name: value.numpy() for name, value in serve(files=tf.constant(files)).items()}
    assert [bool(error) for error in found["errors"]] == [False, True, False]
    assert b"cannot be decoded as an image" in found["errors"][1] and not found["probabilities"][1].any()
    transform = evaluation_transform(net.preprocessing)
    images = np.stack([transform(tf.constant(files[row])).numpy() for row in (0, 2)])
    expected = probabilities(net.model, images, net.preprocessing)
    np.testing.assert_allclose(found["probabilities"][::2], expected, atol=1e-5)
    alone = serve(files=tf.constant(files[1:2]))
    assert alone["errors"].numpy()[0] and alone["probabilities"].shape == (1, 10)


def test_classify_gives_labels_and_scores(mobile, files):
    loaded = tf.saved_model.load(str(mobile[1] / "1"))
    found = {name: value.numpy() for name, value in loaded.signatures["classify"](files=tf.constant(files)).items()}
    shares = loaded.signatures["serve_bytes"](files=tf.constant(files))["probabilities"].numpy()
    assert found["labels"].shape == found["scores"].shape == (3, 5) and found["errors"][1]
    for row in (0, 2):
        assert [int(label) for label in found["labels"][row]] == list(np.argsort(-shares[row], kind="stable")[:5])
    assert not any(found["labels"][1])


def test_the_example_for_a_server_asks_and_reads_as_the_server_does(mobile, files, tmp_path):
    """The server's part: https://www.tensorflow.org/tfx/serving/api_rest, the columnar format."""
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "serving" / "classify.py"))
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    asked = json.loads(example["request_of"](paths))
    contents = [base64.b64decode(each["b64"]) for each in asked["inputs"]["files"]]
    assert contents == files
    serve = tf.saved_model.load(str(mobile[1] / "1")).signatures[asked["signature_name"]]
    outputs = {name: value.numpy() for name, value in serve(files=tf.constant(contents)).items()}
    plain = {name: np.char.decode(v.astype(bytes)) if v.dtype == object else v for name, v in outputs.items()}
    first, broken, _ = example["lines_of"]({"outputs": {k: v.tolist() for k, v in plain.items()}}, paths)
    assert first.startswith(f"{paths[0]}: {plain['labels'][0][0]} ") and first.count("%") == 5
    assert broken == f"{paths[1]}: {plain['errors'][1]}"


def test_a_server_is_warmed_up_by_a_request_for_each_signature(mobile):
    """Read with the message types of TensorFlow Serving, which are declared here from its .proto files."""
    from tensorflow.core.framework import tensor_pb2

    records = tf.data.TFRecordDataset(str(mobile[1] / "1" / "assets.extra" / "tf_serving_warmup_requests"))
    loaded, asked = tf.saved_model.load(str(mobile[1] / "1")), []
    for record in records.as_numpy_iterator():
        request = prediction_log().FromString(record).predict_log.request
        asked.append(request.model_spec.signature_name)
        tensor = tf.make_ndarray(tensor_pb2.TensorProto.FromString(request.inputs.value))
        answer = loaded.signatures[asked[-1]](**{request.inputs.key: tf.constant(tensor)})
        assert len(answer) and not any(answer.get("errors", tf.constant([b""])).numpy())
    assert asked == ["serving_default", "serve_bytes", "classify"]


def prediction_log():
    """Returns the class of `tensorflow.serving.PredictionLog`, as far as the requests need it; tensors are bytes."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool, package = descriptor_pool.DescriptorPool(), ".tensorflow.serving."
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package="tensorflow.serving", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for message, fields in {
        "ModelSpec": [("name", 1, None), ("signature_name", 3, None)],
        "Entry": [("key", 1, None), ("value", 2, bytes)],
        "PredictRequest": [("model_spec", 1, package + "ModelSpec"), ("inputs", 2, package + "Entry")],
        "PredictLog": [("request", 1, package + "PredictRequest")],
        "PredictionLog": [("predict_log", 6, package + "PredictLog")],
    }.items():
        made = file.message_type.add(name=message)
        for name, number, kind in fields:
            one = made.field.add(name=name, number=number, label=field.LABEL_OPTIONAL)
            one.type = {None: field.TYPE_STRING, bytes: field.TYPE_BYTES}.get(kind, field.TYPE_MESSAGE)
            if one.type == field.TYPE_MESSAGE:
                one.type_name = kind
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictionLog"))


def test_openvino_gives_the_same_probabilities(mobile):
    """OpenVINO reads the folder of a version without TensorFlow's code."""
    openvino = pytest.importorskip("openvino")
    net, place, _ = mobile
    images = np.random.default_rng(0).uniform(0, 255, (3, *net.model.input_shape[1:])).astype("float32")
    model = openvino.compile_model(openvino.convert_model(str(place / "1")), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = next(iter(model(images).values()))
    np.testing.assert_allclose(found, probabilities(net.model, images, net.preprocessing), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "onednn"),
    [
        ("resnext29_8x64d_cifar", "0"),
        ("alexnet", "1"),
        pytest.param("resnext29_8x64d_cifar", "1", marks=pytest.mark.slow),
        pytest.param("alexnet", "0", marks=pytest.mark.slow),
    ],
)
def test_a_grouped_convolution_is_one_operator_that_runs_with_and_without_onednn(name, onednn, tmp_path, monkeypatch):
    """Whatever kernels the exporting machine trains with. TensorFlow cannot fuse a bias to it on every machine."""
    net = filled_network(name)
    for layer in net.model.layers:
        if isinstance(layer, GroupedConv2D):
            layer.native = onednn == "0"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)  # of the fresh process
    report = export(net, "saved-model", output=tmp_path / "net", examples=8, bounds=FILLED)
    kernels = sum(len(layer.weights) > 0 and len(layer.weights[0].shape) == 4 for layer in net.model.layers)
    assert report["ops"]["Conv2D"] == kernels
    assert not {"Split", "SplitV", "ConcatV2", "FusedBatchNormV3"} & set(report["ops"])
    assert Path(report["path"]).is_dir() and report["largest_difference"] < 1e-4
