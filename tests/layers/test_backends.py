"""The builders under JAX and PyTorch without TensorFlow: outputs, one training step, and what refuses in one line."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from backends import DEFAULT, LIMIT, ROOT, differences, outputs_of, run_side
from nets import representatives

from kerasnets.registry import variant_names

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"no {name} here"))
    for name in ("jax", "torch")
]
everywhere = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(scope="module")
def reference():
    return outputs_of(list(DEFAULT), whole=False)


@everywhere
def test_outputs_are_tensorflows(backend, reference):
    found = differences(backend, list(DEFAULT), reference=reference)
    assert max(found.values()) <= LIMIT, found


POOLING = """
import sys
import keras, numpy as np
from kerasnets.layers.same_padding import AveragePooling2D
layer = keras.layers.AveragePooling2D if sys.argv[2:] else AveragePooling2D
means = {}
for side in (7, 8, 9):
    x = np.random.default_rng(side).normal(size=(2, side, side + 1, 3)).astype("float32")
    for size, stride in ((2, 2), (3, 1), (3, 2), (3, 3), (5, 3)):
        y = layer(size, stride, padding="same")(x)
        means[f"{side} {size} {stride}"] = keras.ops.convert_to_numpy(y)
np.savez(sys.argv[1], **means)
"""


def pooled(backend, folder, *words):
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    file = folder / f"{backend}.npz"
    subprocess.run([sys.executable, "-c", POOLING, str(file), *words], env=environment, check=True)
    with np.load(file) as arrays:
        return dict(arrays)


@everywhere
def test_average_pooling_leaves_the_padding_out(backend, tmp_path):
    expected, found = pooled("tensorflow", tmp_path), pooled(backend, tmp_path)
    for case, values in expected.items():
        np.testing.assert_allclose(found[case], values, atol=1e-6, err_msg=case)


@pytest.mark.platform
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch here")
def test_keras_counts_padding_in_means_under_pytorch(tmp_path):
    """If it no longer does, our `AveragePooling2D` can go."""
    expected, found = (pooled(backend, tmp_path, "keras") for backend in ("tensorflow", "torch"))
    assert np.abs(found["8 3 2"] - expected["8 3 2"]).max() > 0.01


@pytest.mark.slow
@everywhere
def test_outputs_of_all_variants_are_tensorflows(backend):
    names = list(variant_names())
    for start in range(0, len(names), 12):
        found = differences(backend, names[start : start + 12])
        assert max(found.values()) <= LIMIT, found


@pytest.mark.slow
@everywhere
def test_every_family_trains_for_a_step(backend):
    losses = run_side(backend, representatives("family"), "--fit")
    assert all(np.isfinite(loss) for loss in losses.values()), losses


PROGRAM = """
import sys
from without_tensorflow import hide_tensorflow

hide_tensorflow()
import keras, numpy as np
import kerasnets
from kerasnets import explain

model, other = (kerasnets.create_model("resnet20_cifar") for _ in range(2))
assert kerasnets.complexity(model).total_parameters == model.count_params()
model.save(sys.argv[1])
kerasnets.load_weights(other, sys.argv[1])
for ours, theirs in zip(model.weights, other.weights, strict=True):
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
assert len(keras.models.load_model(sys.argv[1]).weights) == len(model.weights)
assert kerasnets.fold_batch_norm(model) is not None and kerasnets.features(model) is not None
images = kerasnets.preprocess_input(np.zeros((1, 32, 32, 3), "uint8"), model)

inputs = keras.Input((32, 32, 3))
x = keras.layers.Conv2D(4, 3, activation="relu", name="a.conv")(inputs)
model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
maps = explain.occlusion(model, images, window=8, stride=8)
maps = [maps, explain.rise(model, images, masks=4), explain.score_cam(model, images, maps_used=2)]
maps += [explain.cam(model, images)]
assert all(np.isfinite(each).all() for each in maps)
assert explain.deletion(model, images, explain.heatmap(maps[0], (32, 32)), pixels=512).shape == (1,)
for name in ("train", "prepare", "evaluate", "export", "finetune", "predict", "open_network", "load_model"):
    try:
        getattr(kerasnets, name)("lenet5_digits")
    except RuntimeError as error:
        print(error)
try:
    explain.grad_cam(model, images)
except RuntimeError as error:
    print(error)
assert "tensorflow" not in sys.modules
"""


@everywhere
def test_without_tensorflow(backend, tmp_path):
    folders = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support")))
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": folders}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "net.keras")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 9 and lines[0] == (
        "kerasnets.train needs TensorFlow: set KERAS_BACKEND=tensorflow before Keras is imported. "
        f"Received: the backend {backend!r}"
    )
    assert lines[-1].startswith("kerasnets.explain.grad_cam needs TensorFlow")


def test_a_command_refuses_another_backend():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "kerasnets", "train", "lenet5_digits", "--smoke"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "kerasnets: This command needs TensorFlow: unset KERAS_BACKEND. Received: KERAS_BACKEND=jax\n"


@pytest.mark.platform
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch here")
def test_pytorch_allows_no_dots_in_names_of_parameters():
    """If it does, or Keras changes the names, `allow_dots` can go."""
    program = "import keras; layer = keras.layers.Dense(2, name='a.b'); layer.build((None, 3))"
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode and "parameter name can" in done.stderr
