"""`optimize`: the same answers, no variable left, a SavedModel that a fresh process runs without kerasnets."""

import subprocess
import sys
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import build_twin, fill, pixels, representatives

import kerasnets
from kerasnets.graph import inference

# Grouped and depthwise convolution, residual sums, normalisation that stays.
QUICK = ("resnext50_32x4d", "mobilenet_v2", "densenet_bc100_12_cifar")
FRESH = """
import sys, numpy as np, tensorflow as tf
x = np.load("x.npy")
for precision in sys.argv[1:]:
    loaded = tf.saved_model.load(precision)
    served = loaded.signatures["serving_default"](inputs=tf.constant(x))["outputs"].numpy()
    np.save(f"{precision}.npy", [served, loaded(tf.constant(x)).numpy()])
assert "kerasnets" not in sys.modules
"""


def filled(name, **changes):
    model = build_twin(name, **changes)
    fill(model)
    return model, pixels((3, *model.input_shape[1:]))


def check(name):
    model, x = filled(name, classifier_activation=None)
    expected = np.asarray(model(x, training=False))
    fast = kerasnets.optimize(model, "float32")
    for batch in (x, x[:1]):
        assert np.abs(fast(batch) - expected[: len(batch)]).max() < 1e-5 * max(1, np.abs(expected).max())
    assert isinstance(fast(x), np.ndarray) and tf.is_tensor(fast(tf.constant(x))) and fast.precision == "float32"


@pytest.mark.parametrize("name", QUICK)
def test_the_answers_are_those_of_the_model(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in representatives("family", "body") if name not in QUICK])
def test_the_answers_are_those_of_the_model_in_every_family(name):
    check(name)


@pytest.mark.parametrize("name", QUICK)
def test_litert_gives_the_answers_of_the_model_for_batches_of_any_size(name):
    model, x = filled(name, classifier_activation=None)
    expected = np.asarray(model(x, training=False))
    fast = kerasnets.optimize(model, engine="litert")
    for batch in (x, x[:1], x[:2], x):
        assert np.abs(fast(batch) - expected[: len(batch)]).max() < 1e-5 * max(1, np.abs(expected).max())
    assert isinstance(fast(x), np.ndarray) and tf.is_tensor(fast(tf.constant(x)))
    assert (fast.precision, fast.engine) == ("float32", "litert")


def test_litert_refuses_in_one_line_what_it_cannot_do(tmp_path):
    model, _ = filled("lenet5_modern")
    with pytest.raises(ValueError, match="needs `optimize.model, engine='tensorflow'.*Received: engine='litert'"):
        kerasnets.optimize(model, engine="litert").save(tmp_path / "saved")
    with pytest.raises(ValueError, match="computes in float32. Received: precision='bfloat16'"):
        kerasnets.optimize(model, "bfloat16", engine="litert")
    with pytest.raises(ValueError, match="should be one of .*'litert'.*Received: engine='openvino'"):
        kerasnets.optimize(model, engine="openvino")
    fast = kerasnets.optimize(model, engine="litert")
    for wrong in (np.zeros((0, 32, 32, 1)), np.zeros((32, 32, 1)), np.zeros((2, 28, 28, 1))):
        with pytest.raises(
            ValueError, match=r"Expected at least one image, as \('batch', 32, 32, 1\). Received: shape="
        ):
            fast(wrong)
    unknown = build_twin("resnext50_32x4d", include_top=False, input_shape=(None, None, 3))
    for network in (unknown, build_twin("googlenet", aux_heads=True)):
        with pytest.raises(ValueError, match="one output and a known input size. Received: "):
            kerasnets.optimize(network, engine="litert")


def test_a_fresh_process_gives_the_same_answers_from_the_saved_model(tmp_path):
    model, x = filled("mobilenet_v2")
    np.save(tmp_path / "x.npy", x)
    forms = {precision: kerasnets.optimize(model, precision) for precision in ("float32", "bfloat16")}
    for precision, fast in [*forms.items(), *forms.items()]:  # the second file replaces the first
        fast.save(tmp_path / precision)
    done = subprocess.run([sys.executable, "-c", FRESH, *forms], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for precision, fast in forms.items():
        for found in np.load(tmp_path / f"{precision}.npy"):
            np.testing.assert_allclose(found, fast(x), atol=1e-6)
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".npy"}


def test_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("words")
    model, _ = filled("lenet5_modern")
    with pytest.raises(ValueError, match="holds something else. Received: path="):
        kerasnets.optimize(model).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "words"


def test_bfloat16_is_close_and_computes_in_it():
    """Outputs differ a little, and by more than float32 would."""
    model, x = filled("resnext50_32x4d")
    fast = kerasnets.optimize(model, "bfloat16")
    difference = np.abs(fast(x) - np.asarray(model(x, training=False)))
    assert fast.precision == "bfloat16" and 1e-7 < difference.max() < 0.05
    assert fast(x).dtype == np.float32


def operators(fast):
    return Counter(operator.type for operator in fast._function.get_concrete_function().graph.get_operations())


def test_a_normalisation_that_stays_is_one_operator():
    model, _ = filled("densenet_bc100_12_cifar")
    stays = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in kerasnets.fold_batch_norm(model).layers)
    found = operators(kerasnets.optimize(model, "float32"))
    assert found["FusedBatchNormV3"] == stays > 2
    assert found["Mul"] == 0  # of scale and input


@pytest.mark.parametrize("name", ["densenet_bc100_12_cifar", "efficientnet_b0"])
def test_in_bfloat16_only_the_input_and_the_features_are_cast(name):
    """Keras's normalisation and global pooling go through float32, which costs passes over memory."""
    function = kerasnets.optimize(filled(name)[0], "bfloat16")._function.get_concrete_function()
    casts = [operator for operator in function.graph.get_operations() if operator.type == "Cast"]
    assert len([cast for cast in casts if cast.inputs[0].op.type != "Const"]) == 2


def test_auxiliary_outputs_keep_their_names():
    model, x = filled("googlenet", aux_heads=True)
    expected, found = model(x, training=False), kerasnets.optimize(model, precision="float32")(x)
    assert set(found) == set(expected) == {"predictions", "aux1", "aux2"}
    for name, output in expected.items():
        np.testing.assert_allclose(found[name], output, atol=1e-5)


def test_a_model_of_mixed_precision_and_of_unknown_size():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_twin("resnext50_32x4d", include_top=False, input_shape=(None, None, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    fill(model)
    fast = kerasnets.optimize(model, "float32")
    for size in (32, 48):
        assert np.isfinite(fast(pixels((1, size, size, 3)))).all()


@pytest.mark.parametrize(
    ("quicker", "has", "expected"), [(0, True, "float32"), (1, True, "bfloat16"), (1, False, "float32")]
)
def test_auto_takes_the_quicker_form(quicker, has, expected, monkeypatch):
    """The clock is replaced, so that the test means the same on every processor."""
    now, model = [0.0], filled("lenet5_modern")[0]
    monkeypatch.setattr(inference, "has_bfloat16", lambda: has)
    real = inference.OptimizedModel.__call__

    def timed(self, inputs):
        now[0] += 1.0 if (self.precision == "bfloat16") == (quicker == 1) else 2.0
        return real(self, inputs)

    monkeypatch.setattr(inference.OptimizedModel, "__call__", timed)
    monkeypatch.setattr(inference.time, "perf_counter", lambda: now[0])
    assert kerasnets.optimize(model).precision == expected


def test_what_cannot_be_optimized_is_one_line():
    model, _ = filled("lenet5_modern")
    with pytest.raises(ValueError, match="Received: precision='float16'"):
        kerasnets.optimize(model, "float16")
    two = keras.Model([a := keras.Input((4,)), b := keras.Input((4,))], keras.layers.Add()([a, b]))
    with pytest.raises(ValueError, match="one input. Received: 2"):
        kerasnets.optimize(two)
