"""Tune the codebooks and biases of a network with shared weights until it answers as the original does."""

import keras
import numpy as np
import tensorflow as tf

from kerasnets.compression.calibration import kernels
from kerasnets.data.images.per_image import normalise


class Codebook:
    """The weights of a kernel as members of clusters, found from their values."""

    def __init__(self, variable):
        values, members = np.unique(variable.numpy().ravel(), return_inverse=True)
        self.variable, self.members, self.count = variable, tf.constant(members.astype(np.int32)), len(values)
        self.sizes = tf.constant(np.bincount(members).astype(np.float32))
        self.moves = tf.constant((values != 0).astype(np.float32))

    def gradient(self, gradient):
        """Returns the gradient of each weight with its centroid: the sum over the cluster's members (Han et al. 2016).

        Adam divides by the size of the gradient, so that the sum and the mean give the same step.
        """
        summed = tf.math.unsorted_segment_sum(tf.reshape(gradient, [-1]), self.members, self.count)
        return tf.reshape(tf.gather(summed * self.moves, self.members), self.variable.shape)


def tune(model: keras.Model, teacher: keras.Model, images, preprocessing, steps: int, *, rate=2e-5, batch_size=20):
    """Moves centroids and biases along the gradient of the divergence from the teacher's probabilities.

    Zeros stay zeros, and weights of one cluster stay equal. Batch normalisation keeps its moving statistics.

    Args:
        model: with shared weights; changed in place.
        teacher: the original.
        images: unlabelled, (examples, size, size, channels) of 0-255.
        preprocessing: of both.
        steps: of Adam.
        rate: its highest learning rate, which falls to 0 by a cosine.
        batch_size: images of a step.
    """
    codebooks = {target.variable.path: Codebook(target.variable) for target in kernels(model).values()}
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
            codebooks[v.path].gradient(g) if v.path in codebooks else g
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
