"""`kerasnets compress` and `kerasnets.compress`."""

import json

import keras
import numpy as np
import pytest
from nets import build_twin, fill

import kerasnets
from kerasnets.cli.app import run
from kerasnets.exporters.compress import compress


@pytest.fixture
def network(tmp_path):
    model = build_twin("squeezenet1_0", input_shape=(67, 67, 3))
    fill(model)
    model.save(tmp_path / "net.keras")
    return tmp_path / "net.keras"


@pytest.mark.parametrize("tune", [[], pytest.param(["--tune", "2"], marks=pytest.mark.slow)])
def test_a_network_is_compressed_and_read_again(network, tmp_path, capsys, tune):
    photos = np.random.default_rng(0).integers(0, 256, (6, 67, 67, 3)).astype("uint8")
    np.savez(tmp_path / "photos.npz", x_train=photos, y_train=np.arange(6), x_test=photos, y_test=np.arange(6))
    target = tmp_path / "net.knc"
    calibrate = ["--calibrate", str(tmp_path / "photos.npz"), "--examples", "6", *tune]
    assert (
        run(["compress", str(network), "--bits", "4", *calibrate, "--sparsity", "0.5", "--json", "-o", str(target)])
        == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["bytes"] == target.stat().st_size and report["ratio"] > 4
    rows = {row["name"]: row for row in report["layers"]}
    assert rows["conv1.weight"]["kept"] == pytest.approx(0.5, abs=0.01) and rows["conv1.weight"]["codebook_bits"] <= 4
    copy = build_twin("squeezenet1_0", input_shape=(67, 67, 3), weights=None)
    kerasnets.load_weights(copy, target)
    for weight in copy.weights:
        if weight.path.endswith("kernel"):
            values = weight.numpy()
            assert len(np.unique(values[values != 0])) <= 16
            assert (values == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_without_bits_nothing_is_lost(network, tmp_path, capsys):
    target = tmp_path / "net.knc"
    assert run(["compress", str(network), "--bits", "0", "-o", str(target)]) == 0
    assert "times smaller than" in capsys.readouterr().out
    copy = build_twin("squeezenet1_0", input_shape=(67, 67, 3))
    kerasnets.load_weights(copy, target)
    for ours, theirs in zip(copy.weights, keras.models.load_model(network).weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--sparsity", "1"], "`sparsity` should be at least 0"),
        (["--tune", "3"], "needs images (--calibrate)"),
        (["--start", "even"], "`start` should be one of linear, density, random"),
        (["-o", "net.bin"], "should end in .knc"),
        (["-o", "nowhere/net.knc"], "its folder exist"),
    ],
)
def test_a_wrong_request_is_one_line(network, tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert run(["compress", str(network), "-o", "net.knc", *arguments]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1 and words in shown[0]
    assert not list(tmp_path.glob("**/*.knc"))


def test_a_model_is_not_changed(tmp_path):
    model = build_twin("lenet5_modern")
    before = model.get_weights()
    compress(model, tmp_path / "net.knc", bits=2)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="compressed with its weights"):
        compress("lenet5_modern", tmp_path / "net.knc")
