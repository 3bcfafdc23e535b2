"""Times a training step at 224x224: our training loop, keras.applications with `fit`, torchvision in channels_last.

    python benchmarks/training_step.py [--torch-python PYTHON] [--nets NAME ...] [--turns 3] [--steps 3] [--batch 16]
        [--size 224] [--precisions float32 bfloat16] [--clock wall]

Each side has a process of its own. The sides take turns of a few steps, and the median step of each counts. All train
with SGD and momentum 0.9 on a batch in memory. Ours trains as `kerasnets train` does, with all callbacks; Keras's side
uses `compile` and `fit` with the same metrics. bfloat16 is measured where the processor has it: with the precision
`mixed_bfloat16`, with Keras's policy of that name, and with torchvision's autocast.

`--clock processor` counts the seconds of all cores together, which other work on the machine changes less.

By default TensorFlow uses oneDNN on AVX-512 processors only. `kerasnets train` asks for it on every processor, and so
does this program for both Keras sides (`TF_ENABLE_ONEDNN_OPTS=0` switches it off). A network is compared only with the
same network: keras.applications has the paper's ResNet-50 and no ResNeXt, torchvision has the later form of ResNet-50.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

from sides import ask, open_sides, serve, with_torchvision
from steps import fit_steps, seconds, torchvision_step

# Our variant -> its names in keras.applications and in torchvision.
NETS = {
    "resnet50": {"keras": "ResNet50"},
    "resnet50_v1_5": {"torchvision": "resnet50"},
    "resnext50_32x4d": {"torchvision": "resnext50_32x4d"},
    "densenet121": {"keras": "DenseNet121", "torchvision": "densenet121"},
    "mobilenet_v2": {"keras": "MobileNetV2", "torchvision": "mobilenet_v2"},
    "efficientnet_b0": {"keras": "EfficientNetB0", "torchvision": "efficientnet_b0"},
}
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
CLASSES = 10  # those of the digits, which the recipe needs as a source; the batch that is timed is random


def example(batch: int, size: int):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, size, size, 3)).astype("uint8"), rng.integers(0, CLASSES, batch)


def ours(net: str, precision: str, batch: int, size: int, clock=time.perf_counter):
    import tensorflow as tf

    from kerasnets.distribution.precision import computing_in
    from kerasnets.recipe.read import parse_recipe
    from kerasnets.training.callbacks import make_callbacks
    from kerasnets.training.prepare import make_job
    from kerasnets.training.stopping import StopRequest

    form = "float32" if precision == "float32" else "mixed_bfloat16"
    folder = Path(tempfile.mkdtemp())
    content = {
        "model": {"name": net},
        "data": {"source": {"kind": "digits"}, "size": size},
        "preprocessing": {"mean": [127.5] * 3, "std": [127.5] * 3},
        "batch_size": batch,
        "epochs": 1,
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "precision": form,
    }
    with computing_in(form):
        job = make_job(parse_recipe(content), folder)
    (folder / "checkpoints").mkdir()
    data = tf.data.Dataset.from_tensors(example(batch, size)).repeat()
    take = fit_steps(job.trainer, data, make_callbacks(job, None, False, StopRequest()), clock)

    def steps(count):
        with computing_in(form):
            return take(count)

    return steps


def keras_side(net: str, precision: str, batch: int, size: int, clock):
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    settings = {"weights": None, "classes": CLASSES, "classifier_activation": None, "input_shape": (size, size, 3)}
    network = getattr(keras.applications, NETS[net]["keras"])(**settings)
    # Probabilities in float32, as Keras's guide to mixed precision says, because its metrics refuse bfloat16.
    model = keras.Model(network.inputs, keras.layers.Softmax(dtype="float32")(network.outputs[0]))
    metrics = ["sparse_categorical_accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)]
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=metrics)
    images, labels = example(batch, size)
    data = tf.data.Dataset.from_tensors((images.astype("float32") / 127.5 - 1, labels)).repeat()
    return fit_steps(model, data, clock=clock)


def torchvision_side(net: str, precision: str, batch: int, size: int, clock):
    pixels, labels = example(batch, size)
    images = pixels.astype("float32") / 127.5 - 1
    step = torchvision_step(NETS[net]["torchvision"], images, labels, CLASSES, bfloat16=precision != "float32")
    return lambda count: seconds(step, count - 1, clock)


def side(name: str) -> None:
    """Answers `NET PRECISION BATCH SIZE CLOCK STEPS` with the seconds of all steps but the first; keeps the network."""
    open_net = {"ours": ours, "keras": keras_side, "torchvision": torchvision_side}[name]
    kept = {}

    def answer(request):
        *wanted, steps = request.split()
        if kept.get("wanted") != wanted:
            kept.clear()
            net, precision, batch, size, clock = wanted
            kept.update(wanted=wanted, take=open_net(net, precision, int(batch), int(size), CLOCKS[clock]))
            kept["take"](2)  # tracing
        return kept["take"](int(steps))

    serve(answer)


def precisions() -> list[str]:
    from kerasnets.distribution.precision import has_bfloat16

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
    parser.add_argument("--size", type=int, default=224)
    default = "by default float32, and bfloat16 where the processor has it"
    parser.add_argument("--precisions", nargs="*", choices=("float32", "bfloat16"), help=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--side", choices=("ours", "keras", "torchvision"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(options.side)
    pythons = with_torchvision({"ours": sys.executable, "keras": sys.executable}, options.torch_python)
    ratios, how = {}, f"{options.batch} {options.size} {options.clock} {options.steps}"
    with open_sides(__file__, pythons) as processes:
        for precision in options.precisions or precisions():
            for net in options.nets:
                sides = [name for name in processes if name == "ours" or name in NETS[net]]
                times = {name: [] for name in sides}
                for _ in range(options.turns):
                    for name in sides:
                        times[name] += ask(processes[name], f"{net} {precision} {how}")
                medians = {name: statistics.median(each) for name, each in times.items()}
                speeds = ", ".join(f"{name} {options.batch / each:.2f}" for name, each in medians.items())
                print(f"{net} {precision}, images a second ({options.clock}): {speeds}", flush=True)
                for name in sides[1:]:
                    ratios[f"training_step_{net}_{precision}_{name}"] = medians[name] / medians["ours"]
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio:.2f}")


if __name__ == "__main__":
    main()
