"""Weight sharing: all weights of a layer are taken from a codebook of 2 to 256 numbers.

Han, Mao and Dally 2016, "Deep Compression", section 3: k-means on the weights of each layer. Centroids that start
evenly spaced are best, since few weights are large, and the large ones matter. Three additions:

* the squared error of a weight counts with the mean square of its input;
* the weights that are not rounded yet compensate the error of a weight (Frantar et al. 2022, "GPTQ"), from the
  second moments of the layer's input;
* biases are corrected by the mean error of the outputs.

Weights that are zero stay zero and need no place in the codebook.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

STARTS = ("linear", "density", "random")
_STEPS = 12  # of k-means: near the even spacing that it starts from, the indices take fewer bits
_DAMPING = 0.01


class Shared(NamedTuple):
    """A kernel of shared weights: `codebook[indices - 1]`, and 0 where the index is 0."""

    codebook: np.ndarray
    indices: np.ndarray

    def values(self) -> np.ndarray:
        """Returns the weights."""
        return np.concatenate([[0.0], self.codebook]).astype(np.float32)[self.indices]


def cluster(weights, count: int, *, start: str = "linear", importance=None, steps: int = _STEPS, seed: int = 0):
    """Returns the centroids of weights in one dimension, ascending.

    Args:
        weights: zeros among them are left out.
        count: of centroids, at most; there are fewer when there are fewer different weights.
        start: "linear" (evenly spaced), "density" (equally many weights to each) or "random" (weights drawn).
        importance: the weight of each squared error, of the shape of `weights`.
        steps: of k-means.
        seed: of the random start.

    Raises:
        ValueError: for another start.
    """
    if start not in STARTS:
        raise ValueError(f"`start` should be one of {', '.join(STARTS)}. Received: start={start!r}")
    weights = np.asarray(weights, np.float64).ravel()
    counted = np.ones_like(weights) if importance is None else np.asarray(importance, np.float64).ravel()
    counted, weights = counted[weights != 0], weights[weights != 0]
    different = np.unique(weights)
    if len(different) <= count:
        return different.astype(np.float32)
    order = np.argsort(weights)
    weights, counted = weights[order], counted[order]
    if start == "linear":
        centroids = np.linspace(weights[0], weights[-1], count)
    elif start == "density":
        centroids = weights[((np.arange(count) + 0.5) * len(weights) / count).astype(int)]
    else:
        centroids = np.sort(np.random.default_rng(seed).choice(different, count, replace=False))
    mass, moment = (np.concatenate([[0.0], np.cumsum(values)]) for values in (counted, counted * weights))
    for _ in range(steps):
        edges = np.searchsorted(weights, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], edges, [len(weights)]])
        masses = np.diff(mass[edges])
        means = np.diff(moment[edges]) / np.maximum(masses, 1e-300)
        centroids = np.where(masses > 0, means, centroids)
    return np.unique(centroids.astype(np.float32))


def nearest(weights: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Returns the indices of the nearest centroids, counted from 1."""
    return np.searchsorted((codebook[1:] + codebook[:-1]) / 2, weights) + 1


def share(kernel: np.ndarray, count: int, *, start: str = "linear", moments=None, compensate: bool = True) -> Shared:
    """Returns a kernel with shared weights.

    Args:
        kernel: its last axis are the outputs.
        count: of centroids.
        start: as for `cluster`.
        moments: second moments of the kernel's input, (inputs, inputs) or their diagonal (inputs,).
        compensate: whether weights that are not rounded yet compensate the error of those that are.
    """
    flat = kernel.reshape(-1, kernel.shape[-1])
    energy = None if moments is None else np.diag(moments) if moments.ndim == 2 else moments
    importance = None if energy is None else np.broadcast_to(energy[:, None] + 1e-12, flat.shape)
    codebook = cluster(flat, count, start=start, importance=importance)
    if not len(codebook):
        return Shared(codebook, np.zeros(kernel.shape, np.int64))
    if moments is None or moments.ndim == 1 or not compensate:
        indices = np.where(flat == 0, 0, nearest(flat, codebook))
    else:
        indices = _compensated(flat, moments, codebook)
    return Shared(codebook, indices.reshape(kernel.shape))


def _compensated(flat: np.ndarray, moments: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Returns indices by GPTQ: input by input, the most active first; later weights compensate the error."""
    order = np.argsort(-np.diag(moments), kind="stable")
    weights, kept = flat[order].astype(np.float64), flat[order] != 0
    second = moments[np.ix_(order, order)] + _DAMPING * np.mean(np.diag(moments) + 1e-12) * np.eye(len(order))
    factor = np.linalg.cholesky(np.linalg.inv(second)).T  # upper: row k holds what later inputs take over from k
    indices = np.zeros(flat.shape, np.int64)
    values = np.concatenate([[0.0], codebook])
    for k in range(len(order)):
        chosen = np.where(kept[k], nearest(weights[k], codebook), 0)
        error = (weights[k] - values[chosen]) / factor[k, k]
        weights[k + 1 :] -= factor[k, k + 1 :, None] * error
        indices[order[k]] = chosen
    return indices


def over_clusters(function, values, members, clusters, **_):
    """Returns a tensor in which each value is replaced by the sum or mean of its cluster.

    Args:
        function: `tf.math.unsorted_segment_sum` or `tf.math.unsorted_segment_mean`.
        values: of a kernel's shape.
        members: int32 of that shape, the cluster of each weight. Cluster 0 holds the weights that are zero: they get 0.
        clusters: int32, their number with cluster 0; 0 before there are any, which leaves the values as they are.
    """
    count = tf.maximum(clusters, 1)
    found = function(tf.reshape(values, [-1]), tf.reshape(members, [-1]), count)
    found = tf.where(tf.range(count) == 0, tf.zeros_like(found), found)
    return tf.where(clusters > 0, tf.reshape(tf.gather(found, tf.reshape(members, [-1])), tf.shape(values)), values)


def bias_change(kernel: np.ndarray, shared: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Returns what to add to the biases of a layer so that the means of its outputs stay."""
    return mean @ (kernel - shared).reshape(-1, kernel.shape[-1])
