"""Tune the codebooks and biases of a network with shared weights until it answers as the original does."""

import keras
import numpy as np
import tensorflow as tf

from kerasnets.compression.calibration import kernels
from kerasnets.compression.sharing import over_clusters
from kerasnets.data.images.per_image import normalise


def members_of(kernel) -> tuple[np.ndarray, int]:
    """Returns the cluster of each weight of a kernel, as `over_clusters` takes them, and how many there are."""
    codebook = np.unique(kernel[kernel != 0])
    return np.where(kernel == 0, 0, np.searchsorted(codebook, kernel) + 1).astype(np.int32), len(codebook) + 1


def tune(model: keras.Model, teacher: keras.Model, images, preprocessing, steps: int, *, rate=2e-5, batch_size=20):
    """Moves centroids and biases along the gradient of the divergence from the teacher's probabilities.

    Zeros stay zeros, and weights of one cluster stay equal: each has the sum of their gradients (Han et al. 2016). Adam
    divides by the size of the gradient, so that the sum and the mean give the same step. Batch normalisation keeps its
    moving statistics.

    Args:
        model: with shared weights; changed in place.
        teacher: the original.
        images: unlabelled, (examples, size, size, channels) of 0-255.
        preprocessing: of both.
        steps: of Adam.
        rate: its highest learning rate, which falls to 0 by a cosine.
        batch_size: images of a step.
    """
    clusters = {target.variable.path: members_of(target.variable.numpy()) for target in kernels(model).values()}
    variables = model.trainable_variables
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = keras.optimizers.Adam(schedule, epsilon=1e-8)
    optimizer.build(variables)
    wanted = np.concatenate(
        [
            np.asarray(teacher(normalise(images[i : i + 50], preprocessing), training=False))
            for i in range(0, len(images), 50)
        ]
    )

    @tf.function
    def step(batch, probabilities):
        with tf.GradientTape() as tape:
            found = model(normalise(batch, preprocessing), training=False)
            loss = tf.reduce_mean(keras.losses.kl_divergence(probabilities, found))
        gradients = tape.gradient(loss, [v.value for v in variables])
        gradients = [
            over_clusters(tf.math.unsorted_segment_sum, g, *clusters[v.path]) if v.path in clusters else g
            for g, v in zip(gradients, variables, strict=True)
        ]
        optimizer.apply(gradients, variables)
        return loss

    draw, order = np.random.default_rng(0), np.zeros(0, np.int64)
    for _ in range(steps):
        if len(order) < batch_size:
            order = np.concatenate([order, draw.permutation(len(images))])
        chosen, order = order[:batch_size], order[batch_size:]
        step(tf.constant(images[chosen]), tf.constant(wanted[chosen]))
