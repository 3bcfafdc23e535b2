"""`load_weights`: dicts and files, reports, errors that change nothing, damaged files."""

import json
import struct

import numpy as np
import pytest
from golden_files import golden_weights
from nets import fill
from safetensors.numpy import save_file

from kerasnets.build import create_model
from kerasnets.weights.load import load_weights


def checkpoint(classes: int = 1000) -> dict:
    arrays = golden_weights("torchvision__resnet18")
    arrays["fc.weight"], arrays["fc.bias"] = arrays["fc.weight"][:classes], arrays["fc.bias"][:classes]
    return arrays


@pytest.fixture(scope="module")
def net():
    return create_model("resnet18", input_shape=(64, 64, 3))


def weights_of(model):
    return [np.array(v) for v in model.weights]


def unchanged(model, before):
    return all((a == b).all() for a, b in zip(weights_of(model), before, strict=True))


def test_file_and_dict_give_the_same(net, tmp_path):
    save_file(checkpoint(), tmp_path / "net.safetensors")
    report = load_weights(net, checkpoint())
    from_dict = weights_of(net)
    fill(net)
    assert load_weights(net, tmp_path / "net.safetensors") == report
    assert unchanged(net, from_dict)
    assert len(report.loaded) == 102 and not (report.skipped or report.kept_initial or report.unused)
    again = create_model("resnet18", input_shape=(64, 64, 3), weights=str(tmp_path / "net.safetensors"))
    assert unchanged(again, from_dict)


def test_counters_and_a_missing_top_are_no_error(net):
    arrays = {**checkpoint(), "bn1.num_batches_tracked": np.zeros(())}
    assert load_weights(net, arrays).unused == ("bn1.num_batches_tracked",)
    headless = create_model("resnet18", include_top=False)
    assert set(load_weights(headless, arrays).unused) == {"bn1.num_batches_tracked", "fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: a.pop("layer1.0.conv1.weight"), "'layer1.0.conv1.weight'"),
        (lambda a: a.update({"layer1.0.conv9.weight": np.zeros(3)}), "'layer1.0.conv9.weight'"),
        (lambda a: a.update({"layer1.0.conv1.weight": np.zeros((64, 32, 3, 3), np.float32)}), "(64, 32, 3, 3)"),
        (lambda a: a.update({"fc.weight": np.zeros((1000, 500), np.float32)}), "(1000, 500)"),
        (lambda a: a.update({"layer1.0.conv1.weight": np.zeros(64, np.float32)}), "(64,)"),
        (lambda a: a.update({"fc.weight": np.zeros((), np.float32)}), "Received: ()"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_changes(net, change, words):
    arrays = checkpoint()
    change(arrays)
    before = weights_of(net)
    with pytest.raises(ValueError) as caught:
        load_weights(net, arrays)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert unchanged(net, before)


def test_skip_mismatch_reports(net):
    arrays = checkpoint()
    arrays["layer1.0.conv1.weight"] = arrays["layer1.0.conv1.weight"][:, :32]
    del arrays["bn1.bias"]
    report = load_weights(net, arrays, skip_mismatch=True)
    assert report.kept_initial == ("bn1.bias",)
    assert report.skipped == ("layer1.0.conv1.weight: (64, 32, 3, 3) into (3, 3, 64, 64)",)


def test_a_classifier_of_other_classes_keeps_its_initial_values(net):
    fill(net)
    before = {name: np.array(net.get_layer(name).weights[0]) for name in ("conv1", "predictions")}
    report = load_weights(net, checkpoint(classes=10))
    assert report.kept_initial == ("fc.weight: (10, 512) into (512, 1000)", "fc.bias: (10,) into (1000,)")
    assert len(report.loaded) == 100 and not report.skipped
    assert (np.array(net.get_layer("predictions").kernel) == before["predictions"]).all()
    assert (np.array(net.get_layer("conv1").kernel) != before["conv1"]).any()


def damaged(kind: str, good: bytes) -> bytes:
    if kind == "empty":
        return b""
    if kind == "truncated":
        return good[: len(good) // 2]
    if kind == "lying header":
        (length,) = struct.unpack("<Q", good[:8])
        header = json.loads(good[8 : 8 + length])
        next(v for k, v in header.items() if k != "__metadata__")["shape"] = [10**9, 10**3]
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + good[8 + length :]
    return struct.pack("<Q", 2**60) + good[8:]


@pytest.mark.parametrize("kind", ["empty", "truncated", "lying header", "endless header"])
def test_damaged_file_is_one_line(net, tmp_path, kind):
    path = tmp_path / "net.safetensors"
    save_file({"conv1.weight": checkpoint()["conv1.weight"]}, path)
    path.write_bytes(damaged(kind, path.read_bytes()))
    before = weights_of(net)
    with pytest.raises(ValueError) as caught:
        load_weights(net, path)
    assert "not a whole .safetensors file" in str(caught.value) and "\n" not in str(caught.value)
    assert unchanged(net, before)


def test_no_such_file_and_wrong_kind(net, tmp_path):
    with pytest.raises(FileNotFoundError, match="No weights file"):
        load_weights(net, tmp_path / "none.safetensors")
    (tmp_path / "weights.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="are read from"):
        load_weights(net, tmp_path / "weights.pkl")
