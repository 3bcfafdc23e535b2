"""What people do every day with a Keras model, done with networks of this package in a process that imports only it.

    python keras_workflows.py FOLDER NAME ...    # runs these workflows, prints a line of JSON for each: name -> error

`FOLDER` holds what `save_everything` wrote in another process.
"""

import json
import sys
import traceback
from pathlib import Path

import numpy as np

import kerasnets  # isort: skip  (before Keras, on purpose)
import keras


def examples(classes: int = 4, each: int = 4):
    """Returns pixels (N, 32, 32, 3) in [-1, 1] and labels; each class has one colour, so any network can learn them."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(classes), each)
    colors = rng.uniform(-1, 1, (classes, 1, 1, 3))
    return (colors[labels] + 0.1 * rng.standard_normal((len(labels), 32, 32, 3))).astype("float32"), labels


def small_network(**arguments):
    return kerasnets.ResNet20CIFAR(**{"classes": 4, **arguments})


def compiled(model, rate=0.01, **settings):
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **settings)
    return model


def nested_classifier(backbone):
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(4, activation="softmax")(backbone(inputs, training=False))
    return keras.Model(inputs, outputs)


def same(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5)


def save_everything(folder: Path) -> None:
    """Writes a trained network in every form that Keras writes, with its outputs and the loss of its next step."""
    x, y = examples()
    model = compiled(small_network())
    model.fit(x, y, batch_size=8, verbose=0)
    model.save(folder / "compiled.keras")
    model.save_weights(folder / "net.weights.h5")
    (folder / "net.json").write_text(model.to_json())
    model.export(folder / "exported", verbose=False)
    nested = nested_classifier(small_network(include_top=False, pooling="avg"))
    nested.save(folder / "nested.keras")
    np.savez(folder / "outputs.npz", compiled=model.predict(x, verbose=0), nested=nested.predict(x, verbose=0))
    model.reset_metrics()  # Keras 3.13 counts the batches of `fit` in the loss of `train_on_batch`
    (folder / "next_loss.txt").write_text(repr(float(model.train_on_batch(x[:8], y[:8])[0])))


def load_a_compiled_model(folder):
    x, y = examples()
    model = keras.models.load_model(folder / "compiled.keras")
    same(model.predict(x, verbose=0), np.load(folder / "outputs.npz")["compiled"])
    same(kerasnets.load_model(folder / "compiled.keras").predict(x, verbose=0), model.predict(x, verbose=0))
    loss = float(model.train_on_batch(x[:8], y[:8])[0])
    np.testing.assert_allclose(loss, float((folder / "next_loss.txt").read_text()), rtol=1e-4)


def load_a_nested_model(folder):
    x, _ = examples()
    expected = np.load(folder / "outputs.npz")["nested"]
    same(keras.models.load_model(folder / "nested.keras").predict(x, verbose=0), expected)


def rebuild_from_a_description(folder):
    x, _ = examples()
    expected = np.load(folder / "outputs.npz")["compiled"]
    model = keras.models.model_from_json((folder / "net.json").read_text())
    model.load_weights(folder / "net.weights.h5")
    same(model.predict(x, verbose=0), expected)
    for twin in (keras.models.clone_model(model), keras.Model.from_config(model.get_config())):
        twin.load_weights(folder / "net.weights.h5")
        same(twin.predict(x, verbose=0), expected)


def load_an_exported_model(folder):
    import tensorflow as tf

    x, _ = examples()
    expected = np.load(folder / "outputs.npz")["compiled"]
    loaded = tf.saved_model.load(folder / "exported")
    same(loaded.serve(x), expected)
    layer = keras.layers.TFSMLayer(folder / "exported", call_endpoint="serve")
    same(keras.Sequential([keras.Input((32, 32, 3)), layer]).predict(x, verbose=0), expected)


def transfer_learning(folder):
    keras.utils.set_random_seed(0)
    x, y = examples()
    backbone = small_network(include_top=False, pooling="avg")
    backbone.trainable = False
    before = [w.numpy() for w in backbone.weights]
    model = compiled(nested_classifier(backbone), 1e-3)
    losses = model.fit(x, y, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0], losses
    assert all((a == w.numpy()).all() for a, w in zip(before, backbone.weights, strict=True)), "frozen weights moved"
    backbone.trainable = True
    compiled(model, 1e-3).fit(x, y, batch_size=8, verbose=0)
    changed = [w.path for a, w in zip(before, backbone.weights, strict=True) if (a != w.numpy()).any()]
    assert len(changed) > 30, changed
    model.save(folder / "transfer.keras")
    same(keras.models.load_model(folder / "transfer.keras").predict(x, verbose=0), model.predict(x, verbose=0))


def sequential(folder):
    x, y = examples()
    layers = [keras.Input((32, 32, 3)), keras.layers.RandomFlip(), small_network(include_top=False)]
    model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4, "softmax")])
    losses = compiled(model).fit(x, y, batch_size=8, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0], losses
    model.summary(print_fn=lambda *_, **__: None, expand_nested=True)
    model.save(folder / "sequential.keras")
    same(keras.models.load_model(folder / "sequential.keras").predict(x, verbose=0), model.predict(x, verbose=0))


def stock_callbacks(folder):
    x, y = examples()
    stock = keras.callbacks
    model = compiled(small_network())
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=6,
        validation_data=(x, y),
        verbose=0,
        callbacks=[
            stock.ReduceLROnPlateau("loss", min_delta=100, patience=1, factor=0.5),
            stock.EarlyStopping("loss", min_delta=100, patience=3, restore_best_weights=True),
            stock.ModelCheckpoint(folder / "best.keras", save_best_only=True, monitor="loss"),
            stock.ModelCheckpoint(folder / "last.weights.h5", save_weights_only=True),
            stock.CSVLogger(folder / "log.csv"),
        ],
    )
    assert len(history.epoch) == 4 and history.history["learning_rate"][-1] < 0.01
    assert len((folder / "log.csv").read_text().splitlines()) == 5
    again = keras.models.load_model(folder / "best.keras")
    assert np.isfinite(again.predict(x, verbose=0)).all()
    again.load_weights(folder / "last.weights.h5")


def backup_and_restore(folder):
    x, y = examples()

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise InterruptedError

    def fit(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(small_network())
        history = model.fit(x, y, batch_size=8, epochs=4, verbose=0, shuffle=False, callbacks=list(callbacks))
        return history.epoch, [w.numpy() for w in model.weights]

    _, whole = fit()
    try:
        fit(keras.callbacks.BackupAndRestore(folder / "backup"), Killed())
    except InterruptedError:
        epochs, resumed = fit(keras.callbacks.BackupAndRestore(folder / "backup"))
    assert epochs == [2, 3]
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def tensorboard(folder):
    x, y = examples()
    board = keras.callbacks.TensorBoard(folder / "events", write_graph=True)
    compiled(small_network()).fit(x, y, batch_size=8, verbose=0, callbacks=[board])
    assert list((folder / "events").rglob("events.out.*"))


def export_litert(folder):
    from ai_edge_litert.interpreter import Interpreter

    x, _ = examples()
    model = small_network()
    signature = [keras.InputSpec(shape=(1, 32, 32, 3), dtype="float32")]
    model.export(folder / "net.tflite", format="litert", input_signature=signature, verbose=False)
    interpreter = Interpreter(str(folder / "net.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[:1])
    interpreter.invoke()
    same(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), model(x[:1]))


def export_onnx(folder):
    import onnxruntime

    x, _ = examples()
    for model in (small_network(), kerasnets.MobileNetV3Small(input_shape=(32, 32, 3), classes=4)):
        path, expected = folder / f"{model.name}.onnx", model.predict(x, verbose=0)  # Keras exports a model once called
        model.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path)
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
        same(found, expected)


def mixed_precision(folder):
    x, y = examples()
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = compiled(small_network())
            assert model.output.dtype == "float32" and model.layers[5].compute_dtype == policy.removeprefix("mixed_")
            assert np.isfinite(model.fit(x, y, batch_size=8, verbose=0).history["loss"]).all()
            model.save(folder / "mixed.keras")
        finally:
            keras.config.set_dtype_policy("float32")
        again = keras.models.load_model(folder / "mixed.keras")
        assert again.layers[5].compute_dtype == policy.removeprefix("mixed_")
        same(again.predict(x, verbose=0), model.predict(x, verbose=0))


def compiled_by_xla(folder):
    x, y = examples()
    for net in (small_network, lambda: kerasnets.MobileNetV3Small(input_shape=(32, 32, 3), classes=4, dropout=0.0)):
        keras.utils.set_random_seed(0)
        plain = compiled(net(), jit_compile=False)
        fast = compiled(keras.models.clone_model(plain), jit_compile=True)
        fast.set_weights(plain.get_weights())
        losses = [model.train_on_batch(x, y)[0] for model in (plain, fast)]
        np.testing.assert_allclose(*losses, rtol=1e-4)
        np.testing.assert_allclose(plain.predict(x, verbose=0), fast.predict(x, verbose=0), atol=1e-3)


def main(folder: Path, names: list[str]) -> None:
    for name in names:
        try:
            globals()[name](folder)
            found = {name: None}
        except Exception:
            found = {name: traceback.format_exc()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
