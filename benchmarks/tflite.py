"""Compares int8 TFLite files: ours, and those of keras.applications by the recipe of TensorFlow's guide.

    python benchmarks/tflite.py [--photos FOLDER] [--count 400] [--nets resnet50 mobilenet_v2] [--turns 5] [--runs 5]

Every second photo of the folder and its sub-folders calibrates both files; the others are compared. Without a folder
they are 30 crops of scikit-learn's two photos.

Both sides have the same weights: random ones, with the statistics of batch normalisation of the calibration photos, and
a random classifier of 1,000 classes on features without their mean. Random networks lose far more in int8 than trained
ones, so the agreement compares two files and says nothing about accuracy. The error is the root mean square of what a
file changes in the logits, relative to the logits.

* ours: `kerasnets.export(model, "tflite-int8")`, pixels 0-255 in, the normalisation inside;
* keras: `TFLiteConverter.from_keras_model` with `Optimize.DEFAULT`, the calibration photos as representative data set
  and `TFLITE_BUILTINS_INT8`; its input is normalised outside;
* float32: our file in float32.

The files run by LiteRT in one process. They take turns of a few runs, and the median run of each counts. A file agrees
on a photo if its top-1 class is that of the Keras network that it was made from. `--processor-time` measures what a run
costs one core, which other work on the machine changes little.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Our variant -> the name in keras.applications, and its normalisation of pixels.
NETS = {
    "resnet50": ("ResNet50", {"mean": [103.939, 116.779, 123.68], "std": [1.0] * 3, "channel_order": "bgr"}),
    "mobilenet_v2": ("MobileNetV2", {"mean": [127.5] * 3, "std": [127.5] * 3}),
}
SIDES = ("ours", "keras", "float32")


def read_photos(folder: str | None, count: int, preprocessing):
    """Returns up to `count` photos of a folder as pixels (examples, size, size, 3), by our evaluation."""
    import numpy as np

    from kerasnets.data.images.files import load_files
    from kerasnets.data.images.suffixes import image_files
    from kerasnets.exporters.images import sample_photos

    if folder is None:
        return sample_photos(preprocessing, 30)
    loaded = load_files(list(image_files([folder]))[:count], preprocessing)
    return np.stack([image for image in loaded if not isinstance(image, Exception)])


def with_statistics(model, images):
    """Sets the statistics of batch normalisation to those of a batch of images, and the classifier."""
    import keras
    import numpy as np

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    *_, last = model.layers
    features = keras.Model(model.input, last.input)(images, training=False)
    kernel = np.random.default_rng(0).normal(size=last.kernel.shape).astype("float32")
    logits = np.asarray(features) @ kernel
    kernel *= 5 / logits.std(0).mean()
    last.set_weights([kernel, -np.asarray(features).mean(0) @ kernel])


def keras_int8(model, images) -> bytes:
    """Converts a model as TensorFlow's guide of post-training integer quantisation does."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def write_files(net: str, pixels, folder: Path):
    """Writes the three files; returns the inputs of each, and the probabilities of Keras."""
    import keras
    import numpy as np

    import kerasnets
    from kerasnets.layers.preprocessing import normalize_pixels
    from kerasnets.registry import Preprocessing

    name, numbers = NETS[net]
    keras.utils.set_random_seed(0)
    theirs = getattr(keras.applications, name)(weights=None)
    given = Preprocessing.from_plain(numbers)
    normalised = np.asarray(normalize_pixels(pixels, given.mean, given.std, given.channel_order))
    calibration, held_out = normalised[::2], normalised[1::2]
    with_statistics(theirs, calibration[:32])
    theirs.save_weights(folder / "keras.weights.h5")
    model = kerasnets.create_model(net)
    kerasnets.load_weights(model, folder / "keras.weights.h5")
    options = {
        "preprocessing": numbers,
        "bounds": {"top1_agreement": None, "largest_difference": None},
        "examples": len(pixels) // 2,
    }
    for side, form in (("ours", "tflite-int8"), ("float32", "tflite")):
        kerasnets.export(model, form, pixels, folder / f"{side}.tflite", **options)
    (folder / "keras.tflite").write_bytes(keras_int8(theirs, calibration))
    inputs = {"ours": pixels[1::2], "float32": pixels[1::2].astype("float32"), "keras": held_out}
    return inputs, theirs.predict(held_out, verbose=0)


class File:
    """A file loaded by LiteRT."""

    def __init__(self, path: Path, threads: int):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input, self.output = (
            details[0]["index"]
            for details in (self.interpreter.get_input_details(), self.interpreter.get_output_details())
        )

    def run(self, image):
        self.interpreter.set_tensor(self.input, image[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)[0]

    def seconds(self, image, clock) -> float:
        start = clock()
        self.run(image)
        return clock() - start


def medians(folder: Path, inputs: dict, threads: int, options) -> dict[str, float]:
    """Returns the milliseconds of the median run of each file."""
    clock = time.process_time if options.processor_time else time.perf_counter
    files = {side: File(folder / f"{side}.tflite", threads) for side in SIDES}
    times = {side: [] for side in SIDES}
    for side, file in files.items():
        file.run(inputs[side][0])
    for _ in range(options.turns):
        for side, file in files.items():
            times[side] += [file.seconds(inputs[side][0], clock) for _ in range(options.runs)]
    return {side: 1000 * statistics.median(found) for side, found in times.items()}


def logits(probabilities):
    """Returns logits without their mean over the classes."""
    import numpy as np

    found = np.log(np.maximum(probabilities, 1e-12))
    return found - found.mean(-1, keepdims=True)


def compare(net: str, options) -> dict[str, float]:
    """Prints what was measured of a network, and returns its ratios."""
    import numpy as np

    from kerasnets import create_model
    from kerasnets.weights.preprocess import preprocessing_of

    pixels, ratios = read_photos(options.photos, options.count, preprocessing_of(create_model(net))), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs, expected = write_files(net, pixels, folder)
        sizes = {side: (folder / f"{side}.tflite").stat().st_size for side in SIDES}
        agreeing, errors = {}, {}
        for side in SIDES:
            file = File(folder / f"{side}.tflite", os.cpu_count())
            found = np.stack([file.run(image) for image in inputs[side]])
            agreeing[side] = int(np.sum(found.argmax(-1) == expected.argmax(-1)))
            errors[side] = float(np.std(logits(found) - logits(expected)) / np.std(logits(expected)))
        print(f"{net}: bytes {sizes}; error of the logits {errors}", flush=True)
        print(f"{net}: top-1 agreement of {len(expected)} photos {agreeing}", flush=True)
        for threads in sorted({1, 1 if options.processor_time else os.cpu_count()}):
            found = medians(folder, inputs, threads, options)
            print(f"{net}, {threads} threads: " + ", ".join(f"{k} {v:.2f} ms" for k, v in found.items()), flush=True)
            ratios[f"tflite_{net}_{threads}_threads"] = found["keras"] / found["ours"]
            ratios[f"tflite_{net}_int8_over_float32_{threads}_threads"] = found["float32"] / found["ours"]
    ratios[f"tflite_{net}_size"] = sizes["keras"] / sizes["ours"]
    ratios[f"tflite_{net}_error"] = errors["keras"] / errors["ours"]
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=NETS)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    ratios = {}
    for net in options.nets:
        ratios |= compare(net, options)
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio:.3f}")


if __name__ == "__main__":
    main()
