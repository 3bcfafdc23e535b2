"""A training step at 224x224, batch 16: our recipe's loop, keras.applications with `fit`, torchvision channels_last.

    python benchmarks/training_step.py [--torch-python PYTHON] [--nets NAME ...] [--turns 3] [--steps 3] [--batch 16]

Each side is a process of its own; they take turns of a few steps, and the median step of each counts. All train by SGD
with momentum 0.9 on a batch that lies in memory; ours as `kerasnets train` does it, all callbacks included, Keras's by
`compile` and `fit` with the same metrics. bfloat16 is run where the processor has it: ours by the recipe's precision
`auto`, Keras's by its policy, torchvision's by autocast.

TensorFlow uses oneDNN by itself on AVX-512 processors only. `kerasnets train` asks for it; here both Keras sides have
it (`TF_ENABLE_ONEDNN_OPTS=0` to see without). A net stands only beside those that have the same one: keras.applications
has the paper's ResNet-50, torchvision the later form, and ResNeXt is not in keras.applications.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

from sides import ask, has_torch, open_sides, serve
from steps import fit_steps, seconds, torchvision_step

# Our row -> its names in keras.applications and in torchvision.
NETS = {
    "resnet50": {"keras": "ResNet50"},
    "resnet50_v1_5": {"torchvision": "resnet50"},
    "resnext50_32x4d": {"torchvision": "resnext50_32x4d"},
    "densenet121": {"keras": "DenseNet121", "torchvision": "densenet121"},
    "mobilenet_v2": {"keras": "MobileNetV2", "torchvision": "mobilenet_v2"},
    "efficientnet_b0": {"keras": "EfficientNetB0", "torchvision": "efficientnet_b0"},
}
SIZE, CLASSES = 224, 10  # the digits stand for any data; what is timed is one random batch


def example(batch: int):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, SIZE, SIZE, 3)).astype("uint8"), rng.integers(0, CLASSES, batch)


def ours(net: str, precision: str, batch: int):
    import tensorflow as tf

    from kerasnets.training.callbacks import make_callbacks
    from kerasnets.training.loop import prepare
    from kerasnets.training.recipe import parse_recipe
    from kerasnets.training.stopping import Wish

    folder = Path(tempfile.mkdtemp())
    content = {
        "model": {"name": net},
        "data": {"source": {"kind": "digits"}, "size": SIZE},
        "preprocessing": {"mean": [127.5] * 3, "std": [127.5] * 3},
        "batch_size": batch,
        "epochs": 1,
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "precision": "float32" if precision == "float32" else "auto",
    }
    job = prepare(parse_recipe(content), folder)
    (folder / "checkpoints").mkdir()
    data = tf.data.Dataset.from_tensors(example(batch)).repeat()
    return fit_steps(job.trainer, data, make_callbacks(job, None, False, Wish()))


def keras_side(net: str, precision: str, batch: int):
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    model = getattr(keras.applications, NETS[net]["keras"])(weights=None, classes=CLASSES)
    metrics = ["sparse_categorical_accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)]
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=metrics)
    images, labels = example(batch)
    return fit_steps(model, tf.data.Dataset.from_tensors((images.astype("float32") / 127.5 - 1, labels)).repeat())


def torchvision_side(net: str, precision: str, batch: int):
    pixels, labels = example(batch)
    images = pixels.astype("float32") / 127.5 - 1
    step = torchvision_step(NETS[net]["torchvision"], images, labels, CLASSES, bfloat16=precision != "float32")
    return lambda count: seconds(step, count - 1)


def side(name: str) -> None:
    """Answers `NET PRECISION BATCH STEPS` with the seconds of all steps but the first, keeping one net at a time."""
    open_net = {"ours": ours, "keras": keras_side, "torchvision": torchvision_side}[name]
    kept = {}

    def answer(request):
        net, precision, batch, steps = request.split()
        if (net, precision, batch) not in kept:
            kept.clear()
            kept[net, precision, batch] = open_net(net, precision, int(batch))
            kept[net, precision, batch](2)  # tracing
        return kept[net, precision, batch](int(steps))

    serve(answer)


def precisions() -> list[str]:
    from kerasnets.training.precision import has_bfloat16

    if has_bfloat16():
        return ["float32", "bfloat16"]
    print("bfloat16: not run, this machine computes in float32 only")
    return ["float32"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--nets", nargs="*", choices=NETS, default=list(NETS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", choices=("ours", "keras", "torchvision"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(options.side)
    pythons = {"ours": sys.executable, "keras": sys.executable}
    if has_torch(options.torch_python):
        pythons["torchvision"] = options.torch_python
    else:
        print("torchvision: not run, torch and torchvision are not installed")
    ratios = {}
    with open_sides(__file__, pythons) as processes:
        for precision in precisions():
            for net in options.nets:
                sides = [name for name in processes if name == "ours" or name in NETS[net]]
                times = {name: [] for name in sides}
                for _ in range(options.turns):
                    for name in sides:
                        times[name] += ask(processes[name], f"{net} {precision} {options.batch} {options.steps}")
                medians = {name: statistics.median(each) for name, each in times.items()}
                speeds = ", ".join(f"{name} {options.batch / each:.2f}" for name, each in medians.items())
                print(f"{net} {precision}, images/s: {speeds}", flush=True)
                for name in sides[1:]:
                    ratios[f"training_step_{net}_{precision}_{name}"] = medians[name] / medians["ours"]
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio:.2f}")


if __name__ == "__main__":
    main()
