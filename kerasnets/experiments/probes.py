"""Numbers of a trained network that its log does not have; each takes a finished run and the measure's options."""

import re

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.images.per_image import normalise
from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources import open_source
from kerasnets.evaluation.ensemble import TestTimeAugmentation, combine_predictions, predict
from kerasnets.evaluation.evaluate import score
from kerasnets.explain.inside import column_errors, effective_receptive_field, filter_normalised
from kerasnets.runs.folder import Run

_FIELD_IMAGES, _SHARPNESS_IMAGES = 64, 512
_DIRECTIONS, _DISTANCE = 5, 0.5
# Residual and plain blocks that keep the shape; the first block of a stage changes it.
_BLOCK = re.compile(r"(layer\d+\.[1-9]\d*)(\.|$)")


def fitted_error(run: Run, measure) -> float:
    """The error of the finished network on the training images, as they are without augmentation."""
    return 1 - _score(run, run.model, run.recipe.data.train_split)["top1"]


def lesion_error(run: Run, measure) -> float:
    """The mean held-out error over all networks from which one block was removed.

    Source: Veit, Wilber and Belongie 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks"
    """
    blocks = list(dict.fromkeys(m[1] for layer in run.model.layers if (m := _BLOCK.match(layer.name))))
    if not blocks:
        raise ValueError(f"lesion_error needs blocks called layer1.1, layer1.2, ... Received: {run.recipe.model.name}")
    return float(np.mean([1 - _score(run, without_block(run.model, block))["top1"] for block in blocks]))


def without_block(model: keras.Model, block: str) -> keras.Model:
    """Returns the network in which the input of a block goes straight to the next one; the weights are shared.

    `kerasnets.explain.lesion` needs shortcuts; this takes plain networks too, to compare them.
    """

    def call(layer, *args, **kwargs):
        if layer.name != block and not layer.name.startswith(f"{block}."):
            return layer(*args, **kwargs)
        # The first input of an addition is its shortcut, so every layer of the block hands the block's input on.
        return args[0][0] if isinstance(args[0], list | tuple) else args[0]

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def column_error(run: Run, measure) -> float:
    """The held-out error of one column of a FractalNet, with the weights that it has in the whole network."""
    errors = column_errors(run.model, *_images(run, run.recipe.data.evaluation_split))
    if measure.column not in errors:
        raise ValueError(f"The network has {len(errors)} columns. Received: column={measure.column}")
    return errors[measure.column]


def receptive_field(run: Run, measure) -> float:
    """The side in pixels of the input region that the centre of the last feature map depends on, over held-out images.

    Source: Luo, Li, Urtasun and Zemel 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural
    Networks"
    """
    last = next(layer.name for layer in reversed(run.model.layers) if len(layer.output.shape) == 4)
    images, _ = _images(run, run.recipe.data.evaluation_split, _FIELD_IMAGES)
    return effective_receptive_field(run.model, last, images)[1]


def sharpness(run: Run, measure) -> float:
    """The mean rise of the loss on training images half a filter's norm away, in random directions.

    A direction has the norm of the network's own filter in each filter; biases and normalisations keep their values.

    Source: Li, Xu, Taylor, Studer and Goldstein 2018, "Visualizing the Loss Landscape of Neural Nets", section 4
    """
    images, labels = _images(run, run.recipe.data.train_split, _SHARPNESS_IMAGES)
    weights = run.model.trainable_weights
    before, generator = [weight.numpy() for weight in weights], np.random.default_rng(run.recipe.seed)
    start, rises = _loss(run.model, images, labels), []
    for _ in range(_DIRECTIONS):
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value + _DISTANCE * filter_normalised(value, generator))
        rises.append(_loss(run.model, images, labels) - start)
    for weight, value in zip(weights, before, strict=True):
        weight.assign(value)
    return float(np.mean(rises))


def vote_error(runs: list[Run]) -> float:
    """Returns the held-out error of several networks, by the mean of their probabilities."""
    found = []
    for run in runs:
        data = run.recipe.data
        source = open_source(data.source, data.evaluation_split)
        size = run.recipe.evaluation.batch_size or run.recipe.batch_size
        found.append(predict(run.model, source, run.preprocessing, data, TestTimeAugmentation(), size))
    return 1 - combine_predictions(found)["top1"]


def _score(run: Run, model: keras.Model, split: str | None = None) -> dict:
    data, evaluation = run.recipe.data, run.recipe.evaluation
    source = open_source(data.source, split or data.evaluation_split)
    size = evaluation.batch_size or run.recipe.batch_size
    return score(model, source, run.preprocessing, data, batch_size=size, max_batches=evaluation.max_batches)


def _images(run: Run, split: str, count: int | None = None):
    """Returns normalised images [N, S, S, C] and labels [N], the first of a split, by default all."""
    source = open_source(run.recipe.data.source, split)
    size = min(count or source.size, source.size)
    batches = evaluation_batches(source, run.preprocessing, run.recipe.data, batch_size=size)
    images, labels, _ = next(iter(batches))
    return normalise(images, run.preprocessing), labels


def _loss(model: keras.Model, images, labels) -> float:
    probabilities = tf.cast(model.predict_on_batch(images), tf.float32)
    return float(tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities)))
