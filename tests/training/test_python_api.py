"""Training from Python: callbacks and datasets of the user's own, and `prepare` for a `model.fit` of one's own."""

import fresh
import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import kerasnets
from kerasnets.data.sources.own import own_source, own_training_batches
from kerasnets.runs.log import read_log

SMALL = ["model.name=lenet5_modern", "epochs=2", "steps_per_epoch=6", "batch_size=16", "steps_per_execution=3"]


class Witness(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.calls, self.logs = [], []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")
        assert isinstance(self.model, keras.Model) and self.params["epochs"] == 2

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")
        self.logs.append(dict(logs))

    def on_train_end(self, logs=None):
        self.calls.append("end")


def digits(batch_size=30, count=90, one_hot=False, shuffle=False):
    """Batches of real digits, 8 x 8 scaled to 0-255 and resized to 32 x 32."""
    found = load_digits()
    images = tf.image.resize(found.images[:count, ..., np.newaxis] * (255 / 16), (32, 32)).numpy()
    labels = np.eye(10, dtype="float32")[found.target[:count]] if one_hot else found.target[:count]
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return (data.shuffle(count, seed=1) if shuffle else data).batch(batch_size)


def test_callbacks_of_ones_own_are_called_as_keras_calls_them(tmp_path):
    witness = Witness()
    run = kerasnets.train("lenet5_digits", tmp_path / "run", overrides=SMALL, callbacks=[witness], progress=False)
    assert witness.calls == ["begin", 2, 5, "epoch 0", 2, 5, "epoch 1", "end"]
    logged = [event for event in read_log(run.path) if event["event"] == "epoch"]
    for event, logs in zip(logged, witness.logs, strict=True):
        assert {"loss", "top1", "val_loss", "val_top1", "learning_rate"} <= set(logs)
        assert float(logs["loss"]) == pytest.approx(event["loss"], rel=1e-6)


def test_a_callback_of_ones_own_ends_the_run(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    run = kerasnets.train("lenet5_digits", tmp_path / "run", overrides=SMALL, callbacks=[Stop()], progress=False)
    events = read_log(run.path)
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [1] and events[-1]["stopped_early"]


def test_what_is_no_callback_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keras.callbacks.Callback.*Received: 3"):
        kerasnets.train("lenet5_digits", tmp_path / "run", callbacks=[3])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("one_hot", [False, True])
def test_datasets_of_ones_own(one_hot, tmp_path):
    """Three batches an epoch, in the user's order; the evaluation counts each example once."""
    seen = []
    watched = digits(one_hot=one_hot).map(
        lambda x, y: (tf.py_function(lambda t: seen.append(float(tf.reduce_sum(t))) or t, [x], tf.float32), y)
    )
    watched = watched.map(lambda x, y: (tf.ensure_shape(x, [None, 32, 32, 1]), y))
    changes = ["epochs=2", "model.name=lenet5_modern", *([] if one_hot else ["model.arguments.classes=10"])]
    data = (watched, digits(batch_size=40, count=70))
    run = kerasnets.train("lenet5_digits", tmp_path / "run", overrides=changes, data=data, progress=False)
    start = read_log(run.path)[0]
    assert (start["steps_per_epoch"], start["train_examples"]) == (3, 90) and run.evaluation["examples"] == 70
    assert run.recipe.data.source.kind == "own" and run.recipe.batch_size == 30
    order = [float(tf.reduce_sum(x)) for x, _ in digits()]
    passes = [seen[i : i + 6] for i in range(len(seen) - 5)]  # the first looks at the data are shorter
    assert any(np.allclose(found, order * 2, rtol=1e-6) for found in passes)
    expected = kerasnets.load_model(run.path / "model.keras")
    images, labels = map(np.concatenate, zip(*((x.numpy(), y.numpy()) for x, y in digits(count=70)), strict=True))
    probabilities = expected.predict(kerasnets.preprocess_input(images, run.model), verbose=0)
    assert run.evaluation["top1"] == pytest.approx((probabilities.argmax(-1) == labels).mean())
    with pytest.raises(ValueError, match="datasets of your own"):
        kerasnets.evaluate(run.path)


def test_an_epoch_shorter_than_the_data_goes_on_where_the_last_one_ended():
    source = own_source(digits(), "training", 10, steps=2)
    sums = [float(tf.reduce_sum(x)) for x, _ in digits()]
    for start in range(5):
        drawn = [float(tf.reduce_sum(x)) for x, _ in own_training_batches(source, start).take(4)]
        np.testing.assert_allclose(drawn, [sums[(start + n) % 3] for n in range(4)], rtol=1e-6)
    assert source.size == 90


def test_a_run_on_ones_own_data_resumes_to_the_same_weights(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations.numpy() == 4:
                raise KeyboardInterrupt

    changes = ["epochs=3", "model.arguments.classes=10", "checkpoint.every_steps=1", "steps_per_execution=1"]
    settings = {"overrides": changes, "data": (digits(), digits()), "progress": False}
    whole = kerasnets.train("lenet5_digits", tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        kerasnets.train("lenet5_digits", tmp_path / "part", callbacks=[Break()], **settings)
    part = kerasnets.train("lenet5_digits", tmp_path / "part", resume=True, **settings)
    for ours, theirs in zip(part.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (lambda: digits(), "pair of datasets"),
        (lambda: (digits(one_hot=True), None), "validation data of type NoneType"),
        (lambda: (digits().unbatch(), digits()), "images \\[batch, height, width, channels\\]"),
        (lambda: (digits().filter(lambda x, y: True), digits()), "does not know its length"),
        (lambda: (digits(), digits()), "model.arguments.classes"),
        (lambda: (digits().map(lambda x, y: (x[:, :30], y)), digits()), "classes"),
        (lambda: (digits(one_hot=True).map(lambda x, y: (x[:, :30], y)), digits(one_hot=True)), "square"),
        (lambda: (digits(one_hot=True).map(lambda x, y: (tf.repeat(x, 3, -1), y)),) * 2, "3 channels"),
    ],
)
def test_wrong_datasets_are_one_line(data, hint, tmp_path):
    with pytest.raises(ValueError, match=hint):
        kerasnets.train("lenet5_digits", tmp_path / "run", data=data())
    assert not (tmp_path / "run").exists()


def test_prepare_for_a_fit_of_ones_own_trains_the_weights_of_train(tmp_path):
    """`fit` in a fresh process that imports nothing but kerasnets, compared with `train`, to the last bit."""
    program = f"""
import kerasnets, numpy as np
ready = kerasnets.prepare("lenet5_digits", overrides={SMALL!r})
history = ready.model.fit(
    ready.train, validation_data=ready.validation, callbacks=ready.callbacks, epochs=ready.epochs,
    steps_per_epoch=ready.steps_per_epoch, verbose=0,
)
assert sorted(history.history) == ["loss", "top1", "top5", "val_loss", "val_top1", "val_top5"], history.history
np.savez({str(tmp_path / "net.npz")!r}, *ready.network().get_weights())
"""
    done = fresh.run("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz"]  # `prepare` writes nothing
    run = kerasnets.train("lenet5_digits", tmp_path / "run", overrides=SMALL, progress=False)
    with np.load(tmp_path / "net.npz") as ours:
        for name, theirs in zip(ours.files, run.model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours[name], theirs)


@pytest.mark.slow
def test_mlflow_s_own_callback_logs_a_run(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with mlflow.start_run() as active:
        callback = mlflow.keras.MlflowCallback()
        kerasnets.train("lenet5_digits", tmp_path / "run", overrides=SMALL, callbacks=[callback], progress=False)
    history = mlflow.MlflowClient().get_metric_history(active.info.run_id, "val_top1")
    logged = [e["val_top1"] for e in read_log(tmp_path / "run") if e["event"] == "epoch"]
    assert [m.value for m in history] == pytest.approx(logged)
