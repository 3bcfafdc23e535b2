"""Exported files on real digits: every form agrees with Keras, and no file that misses its bounds is kept."""

import dataclasses
import importlib.util
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnets.data.images.per_image import normalise
from kerasnets.exporters import files
from kerasnets.exporters.check import check_file
from kerasnets.exporters.export import export
from kerasnets.exporters.files import ExportError, read_metadata
from kerasnets.exporters.images import check_images
from kerasnets.exporters.open_network import LoadedNetwork, classifier, probabilities
from kerasnets.exporters.predict import open_predictor, predict
from kerasnets.exporters.saved_model import load_serve_bytes
from kerasnets.exporters.tflite import load_tflite, pixel_network
from kerasnets.exporters.tflite_metadata import model_part
from kerasnets.graph.fold import inference_form
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing

LEFT_OUT = [*files.PAGES, "onnx"][: 2 if importlib.util.find_spec("tf2onnx") else 3]  # test_web.py has the pages
FORMS = {form: end for form, end in files.FORMS.items() if form not in LEFT_OUT}
GREY = Preprocessing(size=16, crop_fraction=1.0, mean=(78.0,), std=(96.0,))


@keras.saving.register_keras_serializable("test_export")
class NeighbourNormalization(keras.layers.Layer):
    """Local response normalisation: TFLite has no integer kernel for it."""

    def call(self, x):
        return tf.nn.lrn(x, depth_radius=2, bias=1.0, alpha=1e-4, beta=0.75)


def small_net(channels: int = 1, *, extra=None, heads: bool = False) -> keras.Model:
    inputs = x = keras.Input((16, 16, channels))
    for number, width in enumerate((8, 16)):
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"features.{number}.conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"features.{number}.bn")(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D()(x)
    flat = keras.layers.Flatten()(extra(x) if extra else x)
    outputs = keras.layers.Dense(10, name="predictions", dtype="float32")(flat)
    if heads:
        outputs = {"predictions": outputs, "aux1": keras.layers.Dense(10, name="aux1")(flat)}
    return keras.Model(inputs, outputs, name="small.net")


@pytest.fixture(scope="module")
def digits() -> LoadedNetwork:
    """A small network with batch normalisation, trained on the digits, with its images and its labels."""
    keras.utils.set_random_seed(0)
    data = DataOptions(source=SourceOptions(kind="digits"))
    target = LoadedNetwork("small_digits", small_net(), GREY, tuple("0123456789"), data)
    images, labels, *_ = check_images(
        dataclasses.replace(target, data=data.model_copy(update={"evaluation_split": "train"})), None, 2000
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    target.model.compile(keras.optimizers.Adam(5e-3), loss)
    target.model.fit(normalise(images, GREY), labels, batch_size=64, epochs=5, verbose=0)
    return target


@pytest.fixture(scope="module")
def exported(digits, tmp_path_factory):
    """Form -> report, each form exported once."""
    folder = tmp_path_factory.mktemp("saved_models")
    return {form: export(digits, form, output=folder / f"net{ending}") for form, ending in FORMS.items()}


@pytest.fixture(scope="module")
def image_files(digits, tmp_path_factory):
    """A folder with two digits, a PNG and a JPEG larger than the network's input, and a broken file between them."""
    folder = tmp_path_factory.mktemp("images")
    images, *_ = check_images(digits, None, 2)
    large = np.repeat(np.repeat(images, 3, 1), 2, 2)
    (folder / "a.png").write_bytes(tf.io.encode_png(large[0]).numpy())
    (folder / "b.png").write_bytes(b"\x89PNG but then nothing")
    (folder / "deep").mkdir()
    (folder / "deep" / "c.jpg").write_bytes(tf.io.encode_jpeg(large[1]).numpy())
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_every_form_agrees_with_keras_on_all_held_out_digits(exported, form):
    report = exported[form]
    assert report["passed"] and report["failures"] == []
    assert report["keras_accuracy"] >= 0.9
    assert abs(report["accuracy"] - report["keras_accuracy"]) <= 0.01
    assert report["labelled"] == 360 and report["examples"] == 1000 + 4 * (form == "saved-model")
    assert "640 training images" in report["images"]
    assert report["bytes"] > 1000 and report["latency_ms"] > 0
    assert report["flex_ops"] == [] and report["float_islands"] == []
    if form in ("saved-model", "tflite", "tflite-sparse", "onnx"):
        assert report["largest_difference"] < 1e-5


@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith("tflite")])
def test_batch_norm_is_folded_and_operators_are_built_in(exported, form):
    names = set(exported[form]["ops"])
    assert not names & {"MUL", "ADD", "SUB", "RSQRT", "BATCH_MATMUL"}
    assert exported[form]["ops"]["CONV_2D"] == 3  # two of the network and the normalisation


def test_quantised_and_half_files_are_smaller(exported):
    sizes = {form: exported[form]["bytes"] for form in FORMS}
    assert sizes["tflite-int8"] < sizes["tflite-float16"] < sizes["tflite"] < sizes["saved-model"]


def test_int8_takes_the_pixels_themselves(exported):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=exported["tflite-int8"]["path"])
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] == np.uint8 and tuple(source["shape"]) == (1, 16, 16, 1)
    assert source["quantization"] == pytest.approx((1.0, 0), abs=1e-6)
    assert sink["dtype"] == np.float32


@pytest.mark.parametrize("form", FORMS)
def test_labels_and_numbers_lie_beside_the_file(exported, form):
    path = exported[form]["path"]
    assert read_metadata(path) == (GREY, tuple("0123456789"))


def test_labels_are_also_a_text_file(exported, tmp_path):
    path = Path(exported["tflite"]["path"])
    assert zipfile.ZipFile(path).read("labels.txt").split() == [b"%d" % digit for digit in range(10)]
    assert (path.parent / "net" / "1" / "assets.extra" / "labels.txt").read_text().split() == list("0123456789")


def test_nothing_but_the_exports_is_left_in_the_folder(exported):
    folder = Path(exported["tflite"]["path"]).parent
    assert {file.name for file in folder.iterdir()} == {f"net{ending}" for ending in FORMS.values()}


@pytest.mark.parametrize("form", FORMS)
def test_predict_gives_an_entry_per_file_and_survives_a_broken_one(exported, image_files, form):
    good, broken, deep = predict(exported[form]["path"], [image_files], top=3)
    assert [entry["image"] for entry in (good, broken, deep)] == [
        str(image_files / name) for name in ("a.png", "b.png", "deep/c.jpg")
    ]
    assert set(broken) == {"image", "error"} and "\n" not in broken["error"]
    for entry in (good, deep):
        shares = [prediction["probability"] for prediction in entry["predictions"]]
        assert len(shares) == 3 and shares == sorted(shares, reverse=True)
        assert all(prediction["label"] == str(prediction["index"]) for prediction in entry["predictions"])
    json.dumps([good, broken, deep])


def test_predict_reports_a_missing_file(exported, tmp_path):
    (entry,) = predict(exported["tflite"]["path"], [tmp_path / "nowhere.png"])
    assert entry["image"] == str(tmp_path / "nowhere.png") and "There is no such image file" in entry["error"]


def test_encoded_files_give_what_predict_gives(exported, image_files, digits):
    files = [image_files / "a.png", image_files / "deep" / "c.jpg"]
    inside = load_serve_bytes(exported["saved-model"]["path"])([file.read_bytes() for file in files])
    predictor = open_predictor(exported["saved-model"]["path"])
    for row, entry in zip(inside, predict(predictor, files, top=10), strict=True):
        outside = {prediction["index"]: prediction["probability"] for prediction in entry["predictions"]}
        assert row == pytest.approx([outside[index] for index in range(10)], abs=1e-6)


def test_a_file_outside_its_bounds_gets_no_name_and_the_older_one_stays(digits, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(b"an older, good file")
    with pytest.raises(ExportError, match="was not written: largest difference from Keras .* allowed 0") as failure:
        export(digits, "tflite-float16", output=path, bounds={"largest_difference": 0.0})
    assert failure.value.report["passed"] is False and failure.value.report["bounds"]["largest_difference"] == 0.0
    assert path.read_bytes() == b"an older, good file"
    for bounds, words in (({"top1_agreement": 1.1}, "top-1 agreement"), ({"accuracy_drop": -1.0}, "below Keras")):
        with pytest.raises(ExportError, match=words):
            export(digits, "tflite", output=tmp_path / "new.tflite", bounds=bounds, examples=20)
    assert [file.name for file in tmp_path.iterdir()] == ["net.tflite"]


def test_a_saved_model_replaces_a_saved_model_and_nothing_else(digits, exported, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("words")
    with pytest.raises(ValueError, match="holds something else. Received: output="):
        export(digits, "saved-model", output=tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "words"
    with pytest.raises(ValueError, match="should end in .tflite. Received: output="):
        export(digits, "tflite", output=tmp_path / "net.bin")
    with pytest.raises(ValueError, match="Did you mean 'tflite-int8'"):
        export(digits, "tflite-int-8")


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_file_is_one_clear_line(digits, exported, tmp_path, keep):
    content = model_part(open(exported["tflite"]["path"], "rb").read())
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(keep * len(content))])
    images, labels, *_ = check_images(digits, None, 4)
    with pytest.raises(ExportError, match="does not run: .*cut.tflite is not a TFLite file, or damaged") as error:
        check_file(path, "tflite", images, np.zeros((4, 10)), labels)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="not a TFLite file, or damaged"):
        load_tflite(path)


def test_a_file_whose_labels_are_cut_off_is_refused(exported, tmp_path):
    content = open(exported["tflite"]["path"], "rb").read()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[:-20])
    with pytest.raises(ValueError, match="cut.tflite is damaged or was not exported by kerasnets.* Export it again"):
        predict(path, [])


def test_a_file_without_its_description_says_what_is_missing(exported, tmp_path):
    path = tmp_path / "lonely.tflite"
    path.write_bytes(model_part(open(exported["tflite"]["path"], "rb").read()))
    with pytest.raises(ValueError, match="lonely.tflite .* has no labels and no image size. Export it again"):
        predict(path, [])


def test_a_folder_that_cannot_be_made_is_an_os_error(digits, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written: "):
        export(digits, "tflite", output=tmp_path / "file" / "net.tflite")


def test_a_float_island_is_named(digits, tmp_path):
    net = small_net(extra=NeighbourNormalization(name="norm"))
    net.set_weights(digits.model.get_weights())
    target = dataclasses.replace(digits, model=net)
    report = export(target, "tflite-int8", output=tmp_path / "net.tflite", bounds={"accuracy_drop": None}, examples=20)
    (island,) = report["float_islands"]
    assert island.startswith("LOCAL_RESPONSE_NORMALIZATION ")
    assert report["ops"]["LOCAL_RESPONSE_NORMALIZATION"] == 1


def test_nan_is_outside_every_bound(digits, exported):
    images, *_ = check_images(digits, None, 2)
    report = check_file(exported["tflite"]["path"], "tflite", images, np.full((2, 10), np.nan))
    assert not report["passed"] and "the file or the network gives NaN" in report["failures"]


def test_a_classifier_drops_heads_and_mixed_precision_and_adds_the_softmax(digits):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = small_net(heads=True)
    finally:
        keras.config.set_dtype_policy("float32")
    net = classifier(mixed)
    assert {layer.compute_dtype for layer in net.layers} == {"float32"}
    assert not isinstance(net.output, dict) and "aux1" not in {layer.name for layer in net.layers}
    images, *_ = check_images(digits, None, 3)
    found = probabilities(net, images, GREY)
    assert found.sum(-1) == pytest.approx(np.ones(3), abs=1e-6)
    logits = np.asarray(mixed(normalise(images, GREY), training=False)["predictions"])
    assert found == pytest.approx(np.asarray(tf.nn.softmax(logits)), abs=0.02)


def test_normalisation_inside_a_file_is_the_one_of_data():
    net = small_net(channels=3)
    bgr = Preprocessing(16, 1.0, mean=(103.9, 116.8, 123.7), std=(57.0, 58.0, 59.0), channel_order="bgr")
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype("float32")
    inside = pixel_network(inference_form(classifier(net)), bgr)(image)
    assert np.asarray(inside) == pytest.approx(probabilities(classifier(net), image, bgr), abs=1e-5)


def test_a_run_keeps_the_newest_report_of_each_file(digits, tmp_path):
    path = tmp_path / "net.tflite"
    older = [{"format": form, "path": str(path), "bytes": 1} for form in ("tflite", "tflite-int8")]
    (tmp_path / "exports.json").write_text(json.dumps(older))
    report = export(dataclasses.replace(digits, run=tmp_path), "tflite", output=path, examples=8)
    assert json.loads((tmp_path / "exports.json").read_text()) == [older[1], report]


def test_a_file_that_does_not_come_to_an_end_is_given_up(digits, exported, monkeypatch):
    monkeypatch.setitem(check_file.__globals__, "time_limit", lambda examples: 0.01)
    images, *_ = check_images(digits, None, 2)
    with pytest.raises(ExportError, match="did not end within 0.01 s"):
        check_file(exported["tflite"]["path"], "tflite", images, np.zeros((2, 10)))


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder that even root cannot write")
def test_a_run_folder_that_cannot_be_written_is_found_before_the_work(digits, tmp_path):
    target = dataclasses.replace(digits, run=Path("/proc"), model=None)  # no model: any work would fail on it
    with pytest.raises(OSError, match="run folder '/proc' should be writable, for its exports.json, and is not: "):
        export(target, "tflite", output=tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_of_exports_is_found_before_the_work(digits, tmp_path):
    (tmp_path / "exports.json").write_text('[{"format": ')
    with pytest.raises(ValueError, match="exports.json.* is damaged"):
        export(dataclasses.replace(digits, run=tmp_path, model=None), "tflite", output=tmp_path / "net.tflite")
    assert [file.name for file in tmp_path.iterdir()] == ["exports.json"]
