"""ResNeXt-50 32x4d training step, 224x224, batch 8: our grouped convolution against Keras's, and against torchvision.

    python benchmarks/grouped_convolution.py [--batch 8] [--steps 6] [--stock-steps 1]

One process, one run, the sides one after the other. torchvision takes part if it is installed. TensorFlow uses oneDNN
by itself on AVX-512 processors only; here it is asked for, for both Keras sides (`TF_ENABLE_ONEDNN_OPTS=0` to see
without).
"""

import argparse
import importlib.util
import os
import statistics

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from steps import seconds, torchvision_step  # noqa: E402

from kerasnets.architectures import catalogue  # noqa: E402, F401
from kerasnets.layers.grouped_conv import GroupedConv2D  # noqa: E402
from kerasnets.registry import create_model  # noqa: E402

ROW = "resnext50_32x4d"


def with_stock_layers(model):
    """The same graph with `keras.layers.Conv2D(groups=...)`."""

    def swap(layer):
        kind = keras.layers.Conv2D if isinstance(layer, GroupedConv2D) else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=swap)


def keras_step(model, x, y):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
        weights = [v.value for v in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, weights), model.trainable_variables)
        return loss

    return lambda: step().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--stock-steps", type=int, default=1, help="a step of Keras's layers takes about a minute")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((options.batch, 224, 224, 3)).astype("float32")
    y = rng.integers(0, 1000, options.batch)
    model = create_model(ROW)
    stock = with_stock_layers(model)
    times = {"ours": seconds(keras_step(model, tf.constant(x), tf.constant(y)), options.steps)}
    if importlib.util.find_spec("torchvision"):
        times["torchvision"] = seconds(torchvision_step("resnext50_32x4d", x, y, 1000), options.steps)
    times["keras"] = seconds(keras_step(stock, tf.constant(x), tf.constant(y)), options.stock_steps)
    found = {name: statistics.median(each) for name, each in times.items()}
    for name, value in found.items():
        print(f"{name}: {value:.2f} s a step, {options.batch / value:.2f} images/s")
    for name in found:
        if name != "ours":
            print(f"ratio grouped_convolution_vs_{name} {found[name] / found['ours']:.2f}")


if __name__ == "__main__":
    main()
