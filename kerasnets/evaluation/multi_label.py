"""Evaluation of images that may have several classes, or none."""

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.images.per_image import normalise
from kerasnets.registry import Preprocessing


def score_multi_label(model: keras.Model, batches: tf.data.Dataset, preprocessing: Preprocessing) -> dict:
    """Evaluates a model with one sigmoid for each class.

    Args:
        model: normalised pixels -> probabilities [B, classes].
        batches: of `evaluation_batches`, with labels [B, classes] of zeros and ones.
        preprocessing: normalises the pixels.

    Returns:
        The keys of `evaluate`. `top1` and `top5` are the shares of the images of which one of the 1 or 5 most probable
        classes is true, `loss` is the mean binary cross-entropy of a class, and `mean_average_precision` is the mean
        over the classes that occur. Confusions and wrong predictions are empty.

    Raises:
        RuntimeError: a probability is NaN or infinite.
    """
    from sklearn.metrics import average_precision_score

    @tf.function(reduce_retracing=True)
    def predict(images):
        return tf.cast(model(normalise(images, preprocessing), training=False), tf.float32)

    found, labels = [], []
    for images, true, weights in batches:
        real = weights.numpy() > 0
        found.append(predict(images).numpy()[real])
        labels.append(true.numpy()[real])
    found, labels = np.concatenate(found), np.concatenate(labels)
    if not np.isfinite(found).all():
        raise RuntimeError("The network returns values that are NaN or infinite; it cannot be evaluated.")
    order = np.argsort(-found, axis=1, kind="stable")
    true = np.take_along_axis(labels, order, axis=1) > 0
    probability = np.clip(found.astype(float), 1e-12, 1 - 1e-12)
    loss = -np.where(labels > 0, np.log(probability), np.log1p(-probability)).mean()
    occurring = labels.any(axis=0)
    precision = average_precision_score(labels[:, occurring], found[:, occurring]) if occurring.any() else 0.0
    return {
        "examples": len(labels),
        "top1": float(true[:, :1].any(axis=1).mean()),
        "top5": float(true[:, :5].any(axis=1).mean()),
        "loss": float(loss),
        "mean_average_precision": float(precision),
        "confusion": [],
        "confusions": [],
        "wrong": [],
    }
