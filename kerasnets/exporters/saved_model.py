"""Write, run and inspect SavedModels, for TensorFlow Serving and other programs that run TensorFlow."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from kerasnets.data.images.per_image import evaluation_transform, normalise
from kerasnets.exporters.files import Runner, first_line, is_saved_model, version_folder
from kerasnets.registry import Preprocessing

# What a server is asked once when it loads a model, so that no user waits for the first call.
WARM_UP = "tf_serving_warmup_requests"
_UNREADABLE = "The file cannot be decoded as an image (JPEG, PNG, GIF or BMP)."


def write_saved_model(
    model: keras.Model, preprocessing: Preprocessing, labels: Sequence[str], path: str | Path
) -> None:
    """Writes the folder of one version with three signatures.

    * `serving_default(images=...)`: float32 (batch, size, size, channels), RGB (or grey) pixels 0-255 of the network's
      size, which it normalises. It returns `probabilities`, float32 (batch, classes).
    * `serve_bytes(files=...)`: strings (batch,), the contents of image files of any size (JPEG, PNG, GIF, BMP). It
      decodes, resizes and normalises them, with the operations that training and evaluation use. It returns
      `probabilities`, and `errors` (batch,): empty, or why a file could not be decoded. Its probabilities are 0 then.
    * `classify(files=...)`: returns `labels` and `scores` (batch, 5) of the most probable classes, and `errors`.

    Args:
        model: what `inference_form` gives.
        preprocessing: the numbers of the normalisation, which becomes part of the signatures.
        labels: a name for each class.
        path: a folder that does not exist yet.
    """
    import tensorflow as tf

    size, channels, top = preprocessing.size, len(preprocessing.mean), min(5, len(labels))

    @tf.function(input_signature=[tf.TensorSpec((None, size, size, channels), tf.float32, name="images")])
    def serve_images(images):
        # Training spreads mean and std over the whole image, which is faster; here that would make the file larger.
        return {"probabilities": model(normalise(images, preprocessing, full_constants=False), training=False)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="files")])
    def serve_files(files):
        images, readable = _decoded(files, preprocessing)
        found = serve_images(tf.cast(images, tf.float32))["probabilities"]
        return {
            "probabilities": tf.where(readable[:, tf.newaxis], found, 0.0),
            "errors": tf.where(readable, "", _UNREADABLE),
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="files")])
    def classify(files):
        served = serve_files(files)
        scores, best = tf.math.top_k(served["probabilities"], top)
        readable = tf.equal(served["errors"], "")[:, tf.newaxis]
        names = tf.where(readable, tf.gather(tf.constant(labels), best), "")
        return {"labels": names, "scores": scores, "errors": served["errors"]}

    # Not `keras.export.ExportArchive`: it writes every variable twice.
    module = tf.Module()
    module.parameters = [variable.value for variable in model.weights]
    signatures = {"serving_default": serve_images, "serve_bytes": serve_files, "classify": classify}
    for name, function in signatures.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(path), signatures)
    _write_warm_up(Path(path) / "assets.extra" / WARM_UP, size, channels)


def _decoded(files, preprocessing: Preprocessing):
    """Returns uint8 (batch, size, size, channels) and whether each file could be decoded; other images are black.

    The files are decoded in parallel. A broken one is left out by `ignore_errors`, and does not fail its batch.
    """
    import tensorflow as tf

    transform, count = evaluation_transform(preprocessing), tf.shape(files)[0]
    black = tf.zeros((preprocessing.size, preprocessing.size, len(preprocessing.mean)), tf.uint8)
    numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), files))
    images = numbered.map(lambda number, file: (number, transform(file)), num_parallel_calls=tf.data.AUTOTUNE)
    # One more image, so that the batch is not empty when every file is broken.
    images = images.ignore_errors().concatenate(tf.data.Dataset.from_tensors((count, black)))
    numbers, pixels = images.batch(tf.cast(count, tf.int64) + 1).get_single_element()
    rows = numbers[:, tf.newaxis]
    whole = tf.scatter_nd(rows, pixels, tf.concat([[count + 1], tf.shape(black)], 0))
    readable = tf.scatter_nd(rows, tf.ones_like(numbers), [count + 1])
    return tf.ensure_shape(whole[:count], (None, *black.shape)), readable[:count] > 0


def _write_warm_up(path: Path, size: int, channels: int) -> None:
    """Writes a request for each signature: TFRecords of `tensorflow.serving.PredictionLog`.

    The package of TensorFlow Serving's messages is not needed for these five fields.
    """
    import tensorflow as tf

    image = np.zeros((1, size, size, channels), np.float32)
    file = np.array([tf.io.encode_png(image[0].astype(np.uint8)).numpy()])
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, name, value in (
            ("serving_default", "images", image),
            ("serve_bytes", "files", file),
            ("classify", "files", file),
        ):
            tensor = tf.make_tensor_proto(value).SerializeToString()
            model_spec = _field(1, b"default") + _field(3, signature.encode())  # ModelSpec: name, signature_name
            inputs = _field(1, name.encode()) + _field(2, tensor)  # an entry of the map `inputs`
            request = _field(1, model_spec) + _field(2, inputs)  # PredictRequest
            writer.write(_field(6, _field(1, request)))  # PredictionLog.predict_log, PredictLog.request


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a protocol buffer with a text, bytes or a message in it."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def load_saved_model(path: str | Path) -> Runner:
    """Loads the `serving_default` of a SavedModel, or of its newest version.

    Raises:
        ValueError: for a folder that holds no SavedModel, or a damaged one.
    """
    import tensorflow as tf

    if not is_saved_model(path):
        raise ValueError(f"A SavedModel's folder should hold the file saved_model.pb. Received: path={str(path)!r}")
    try:
        loaded = tf.saved_model.load(str(version_folder(path)))
        classes = loaded.signatures["serving_default"].structured_outputs["probabilities"].shape[-1]
    except Exception as error:  # TensorFlow raises many kinds of errors for a damaged folder.
        raise ValueError(f"{path} is not a SavedModel, or damaged: {first_line(error)}") from None

    def run(images: np.ndarray) -> np.ndarray:
        # The signature is looked up in `loaded` because it does not keep the variables alive by itself.
        serve = loaded.signatures["serving_default"]
        return serve(images=tf.constant(images, tf.float32))["probabilities"].numpy()

    return Runner(run, classes)


def load_serve_bytes(path: str | Path) -> Callable[[list[bytes]], np.ndarray]:
    """Returns a SavedModel's `serve_bytes`: encoded image files (bytes) -> probabilities (batch, classes)."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(version_folder(path)))
    return lambda files: loaded.signatures["serve_bytes"](files=tf.constant(files, tf.string))["probabilities"].numpy()


def saved_model_ops(path: str | Path) -> dict[str, int]:
    """Counts the TensorFlow operators of a SavedModel's `serving_default`, including the functions that it calls."""
    import tensorflow as tf

    definition = tf.saved_model.load(str(version_folder(path))).signatures["serving_default"].graph.as_graph_def()
    nodes = list(definition.node) + [node for function in definition.library.function for node in function.node_def]
    return dict(Counter(node.op for node in nodes).most_common())
