"""ResNet-50 training step, 224x224: our batch normalisation against Keras's in the same graph, both sides in one run.

    python benchmarks/batch_norm.py [--batch 16] [--steps 8]

The nets take turns, step by step, so that a slow minute of the machine falls on all. A third one has no batch
normalisation at all: what it takes is what is left when normalising costs nothing, so its ratio is the most that any
layer could reach on the machine at hand.
"""

import argparse
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnets.build import create_model
from kerasnets.layers.batch_norm import BatchNormalization


class StockBatchNormalization(BatchNormalization):
    """Ours with the fused path closed: what is left is Keras's code."""

    def _can_fuse(self, inputs):
        return False


class NoBatchNormalization(BatchNormalization):
    """Hands its input on: normalisation that costs nothing."""

    def call(self, inputs, training=None, mask=None):
        return inputs


def with_layers(model, batch_norm):
    """The same graph with another kind of batch normalisation."""

    def swap(layer):
        kind = batch_norm if isinstance(layer, BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=swap)


def trainer(model):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
        weights = [v.value for v in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, weights), model.trainable_variables)
        return loss

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((options.batch, 224, 224, 3)), tf.float32)
    y = tf.constant(rng.integers(0, 1000, options.batch))
    ours = create_model("resnet50_v1_5")
    stock, none = with_layers(ours, StockBatchNormalization), with_layers(ours, NoBatchNormalization)
    stock.set_weights(ours.get_weights())
    steps = {"ours": trainer(ours), "keras": trainer(stock), "none": trainer(none)}
    losses = {name: float(step(x, y)) for name, step in steps.items()}
    seconds = {name: [] for name in steps}
    for _ in range(options.steps):
        for name, step in steps.items():
            start = time.perf_counter()
            step(x, y).numpy()
            seconds[name].append(time.perf_counter() - start)
    for name, each in seconds.items():
        print(f"{name}: {options.batch / statistics.median(each):.1f} images/s, first loss {losses[name]:.6f}")
    times = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"ratio batch_norm_resnet50_at_most {times['keras'] / times['none']:.2f}")
    print(f"ratio batch_norm_resnet50 {times['keras'] / times['ours']:.2f}")


if __name__ == "__main__":
    main()
