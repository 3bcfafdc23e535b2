"""Times a ResNeXt-50 32x4d training step at 224x224 with our grouped convolution, Keras's, and torchvision's.

    python benchmarks/grouped_convolution.py [--torch-python PYTHON] [--batch 8] [--steps 6] [--stock-steps 1]

Each side has a process of its own, because torchvision cannot be imported after TensorFlow; one side runs after the
other. torchvision takes part if it is installed. By default TensorFlow uses oneDNN on AVX-512 processors only. This
program asks for it on every processor, for both Keras sides (`TF_ENABLE_ONEDNN_OPTS=0` switches it off).
"""

import argparse
import os
import statistics
import sys

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

from sides import ask, open_sides, serve, with_torchvision
from steps import gradient_step, seconds, torchvision_step, with_layers

NET, CLASSES = "resnext50_32x4d", 1000
SIDES = ("ours", "keras", "torchvision")


def example(batch: int, size: int):
    """Returns normalised pixels [B, size, size, 3] and labels [B]."""
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, size, size, 3)).astype("float32"), rng.integers(0, CLASSES, batch)


def keras_step(stock: bool, batch: int, size: int):
    """Returns a function that takes one step of our network; `stock` puts Keras's own layers in it."""
    import keras
    import tensorflow as tf

    from kerasnets.build import create_model
    from kerasnets.layers.grouped_conv import GroupedConv2D

    model = create_model(NET, input_shape=(size, size, 3))
    if stock:
        model = with_layers(model, GroupedConv2D, keras.layers.Conv2D)
    return gradient_step(model, *map(tf.constant, example(batch, size)))


def side(name: str, batch: int, size: int) -> None:
    """Answers each request, a number of steps, with the seconds of each step, after one step of warm-up."""
    if name == "torchvision":
        step = torchvision_step(NET, *example(batch, size), CLASSES)
    else:
        step = keras_step(name == "keras", batch, size)
    serve(lambda count: seconds(step, int(count)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--stock-steps", type=int, default=1, help="a step of Keras's layers takes about a minute")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(options.side, options.batch, options.size)
    pythons = with_torchvision({"ours": sys.executable, "keras": sys.executable}, options.torch_python)
    arguments = ("--batch", str(options.batch), "--size", str(options.size))
    counts = dict.fromkeys(pythons, options.steps) | {"keras": options.stock_steps}
    with open_sides(__file__, pythons, *arguments) as processes:
        found = {name: statistics.median(ask(processes[name], counts[name])) for name in pythons}
    for name, value in found.items():
        print(f"{name}: {value:.2f} s a step, {options.batch / value:.2f} images/s")
    for name in found:
        if name != "ours":
            print(f"ratio grouped_convolution_vs_{name} {found[name] / found['ours']:.2f}")


if __name__ == "__main__":
    main()
