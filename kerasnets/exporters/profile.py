"""Count a network's parameters and multiply-adds, and measure its speed on this machine."""

import dataclasses
import time

import keras
import numpy as np

from kerasnets.exporters.open_network import open_network
from kerasnets.graph.cost import complexity


def profile(model, batch_size: int = 16, steps: int = 10, *, training: bool = True) -> dict:
    """Counts and measures a network.

    Args:
        model: a `keras.Model` with a known input size, a run folder, a .keras file, or a model's name (with
            random weights).
        batch_size: images per step.
        steps: the number of measured steps; their median is returned. One step before them is not measured.
        training: whether to measure a training step (forward, backward, SGD update) as well.

    Returns:
        `{"name", "batch_size", "parameters", "multiply_adds", "layers": [{"name", "kind", "output_shape",
        "parameters", "multiply_adds"}], "inference": {"milliseconds", "spread", "images_per_second"}, "training_step":
        the same or None}`; times are for one batch, and the spread is (25th, 75th percentile) in milliseconds. The
        weights of `model` do not change.
    """
    if batch_size < 1 or steps < 1:
        raise ValueError(
            f"`batch_size` and `steps` should be positive integers. Received: batch_size={batch_size}, steps={steps}"
        )
    model = model if isinstance(model, keras.Model) else open_network(model).model
    cost = complexity(model)
    images = np.random.default_rng(0).normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    return {
        "name": model.name,
        "batch_size": batch_size,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "layers": [dataclasses.asdict(row) for row in cost.layers],
        "inference": _speed(_inference(model, images), batch_size, steps),
        "training_step": _speed(_training_step(model, images), batch_size, steps, model) if training else None,
    }


def _inference(model, images):
    import tensorflow as tf

    images, run = tf.constant(images), tf.function(lambda x: model(x, training=False))
    return lambda: tf.nest.map_structure(lambda tensor: tensor.numpy(), run(images))


def _training_step(model, images):
    import tensorflow as tf

    optimizer, images = keras.optimizers.SGD(1e-6), tf.constant(images)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(model(x, training=True))
            loss = tf.add_n([tf.reduce_mean(tf.square(tf.cast(output, tf.float32))) for output in outputs])
        optimizer.apply(tape.gradient(loss, [v.value for v in model.trainable_variables]), model.trainable_variables)
        return loss

    return lambda: step(images).numpy()


def _speed(run, batch_size: int, steps: int, restore: keras.Model | None = None) -> dict:
    """Times `run`. If it changes the weights of a model, `restore` is that model and gets its weights back."""
    weights = restore.get_weights() if restore else None
    seconds = []
    run()
    for _ in range(steps):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    if restore:
        restore.set_weights(weights)
    low, median, high = (1000 * float(value) for value in np.percentile(seconds, (25, 50, 75)))
    return {"milliseconds": median, "spread": (low, high), "images_per_second": 1000 * batch_size / median}
