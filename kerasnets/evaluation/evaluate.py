"""Evaluation on labelled images: every example counts exactly once, on any number of devices, with exact sums.

The devices judge their own examples, and the host reads four numbers of each, one batch behind: the devices work on the
next batch meanwhile.
"""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.class_names import imagenet_ids, match_classes
from kerasnets.data.images.per_image import normalise
from kerasnets.data.pipeline import evaluation_batches, parallel
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import Source
from kerasnets.distribution.strategy import local_strategy
from kerasnets.evaluation.multi_label import score_multi_label
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing
from kerasnets.runs.folder import Run, open_run
from kerasnets.weights.preprocess import preprocessing_of

# The most wrong predictions that are listed, with their images.
WRONG_LIMIT = 64
# The most classes that get a dense confusion matrix, and the most confusions that are listed.
MATRIX_LIMIT, CONFUSIONS_LIMIT = 1000, 100


def evaluate(target, source=None, preprocessing=None, options=None, **settings) -> dict:
    """Evaluates a run or a model; `kerasnets.exporters.evaluate` describes it, and also opens names and files.

    Args:
        target: a run, the path of a run folder, or a `keras.Model` with one output.
        source, preprocessing, options: by default those of the run or model.
        **settings: `batch_size`, `max_batches` and `wrong_folder`, as for `score`.
    """
    if isinstance(target, (str, os.PathLike)):
        target = open_run(target)
    if isinstance(target, Run):
        options = options or target.recipe.data
        preprocessing = preprocessing or target.preprocessing
        source = source or open_source(options.source, options.evaluation_split)
        settings.setdefault("batch_size", target.recipe.evaluation.batch_size or target.recipe.batch_size)
        target, classes = target.model, target.labels
    else:
        classes = imagenet_ids(target.output_shape[-1]) if len(target.outputs) == 1 else ()
    source = match_classes(source, classes)
    return score(target, source, preprocessing or preprocessing_of(target), options, **settings)


def score(
    model: keras.Model,
    source: Source,
    preprocessing: Preprocessing,
    options: DataOptions,
    *,
    batch_size: int = 64,
    max_batches: int | None = None,
    wrong_folder=None,
) -> dict:
    """Evaluates `model` on `source`.

    Args:
        batch_size: examples at a time on all devices; rounded up to a multiple of the number of devices.
        max_batches: evaluates only this many batches.
        wrong_folder: a folder for the images of wrong predictions; `None` saves none.
    """
    classes = check_fit(model, source, preprocessing)
    if source.multi_label:
        batches = evaluation_batches(source, preprocessing, options, batch_size=batch_size)
        return score_multi_label(model, batches.take(max_batches or -1), preprocessing)
    strategy = local_strategy()
    model, replicas = on_devices(model, strategy), strategy.num_replicas_in_sync
    batches = evaluation_batches(source, preprocessing, options, batch_size=-(-batch_size // replicas) * replicas)
    counts, position = Counts(classes, wrong_folder), 0

    @tf.function(reduce_retracing=True)
    def judge(images, labels):
        def step(images, labels):
            return Verdicts.of(tf.cast(model(normalise(images, preprocessing), training=False), tf.float32), labels)

        return strategy.run(step, args=(images, labels))

    with source.bad_images.explained():
        distributed = strategy.experimental_distribute_dataset(batches.take(max_batches or -1))
        judged = ((judge(images, labels), images, labels, weights) for images, labels, weights in parallel(distributed))
        for verdicts, images, labels, weights in _one_behind(judged):
            weights = _gathered(strategy, weights)
            real = np.flatnonzero(weights)
            labels, *found = (_gathered(strategy, value, real) for value in (labels, *verdicts))
            counts.add(position + real, labels, Verdicts(*found), partial(_gathered, strategy, images, real))
            position += len(weights)
    return counts.result()


def on_devices(model: keras.Model, strategy) -> keras.Model:
    """Returns the model with its weights on every device; without that they would travel in every step."""
    if strategy.num_replicas_in_sync == 1:
        return model
    with strategy.scope():
        copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _one_behind(items):
    """Yields the items, each after the next one was made."""
    former = ()
    for item in items:
        yield from former
        former = (item,)
    yield from former


def check_fit(model: keras.Model, source: Source, preprocessing: Preprocessing) -> int:
    """Returns the number of classes; raises ValueError when model, images and labels do not fit together."""
    if len(model.outputs) != 1:
        raise ValueError(
            f"The model to evaluate must have one output. Received: {len(model.outputs)} ({model.output_names})"
        )
    shape, size, channels = model.input_shape, preprocessing.size, len(preprocessing.mean)
    if any(have not in (None, want) for have, want in zip(shape[1:], (size, size, channels), strict=True)):
        raise ValueError(
            f"The model takes images of shape {shape[1:]}, the preprocessing makes {(size, size, channels)}; "
            "set data.size or preprocessing.mean to match."
        )
    classes = model.output_shape[-1]
    if classes != len(source.classes):
        hint = " Name the folders by WordNet id, such as n01440764." if imagenet_ids(classes) else ""
        raise ValueError(f"The model has {classes} classes and {source.name!r} has {len(source.classes)}.{hint}")
    return classes


def check_finite(probabilities: np.ndarray) -> None:
    """Raises RuntimeError for probabilities that are NaN or infinite."""
    if not np.isfinite(probabilities).all():
        raise RuntimeError("The network returns values that are NaN or infinite; it cannot be evaluated.")


class Verdicts(NamedTuple):
    """What the sums need of each example [N]: tensors of TensorFlow, or arrays.

    Attributes:
        predicted: the class with the highest score.
        highest, true: the probability of that class, and of the true one. `highest` is NaN if any of the example's
            probabilities is NaN or infinite.
        above: how many classes have a higher score than the true one.
    """

    predicted: np.ndarray
    highest: np.ndarray
    true: np.ndarray
    above: np.ndarray

    @classmethod
    def of(cls, probabilities, labels, scores=None):
        """Judges examples in a graph or eagerly.

        Args:
            probabilities, labels: [N, classes] and [N].
            scores: [N, classes], decide the predicted classes; the default is `probabilities`.
        """
        probabilities, labels = tf.convert_to_tensor(probabilities), tf.cast(labels, tf.int32)
        scores = probabilities if scores is None else tf.convert_to_tensor(scores)
        predicted = tf.argmax(scores, -1, output_type=tf.int32)
        above = scores > tf.gather(scores, labels[:, tf.newaxis], batch_dims=1)
        highest = tf.gather(probabilities, predicted, batch_dims=1)
        finite = tf.reduce_all(tf.math.is_finite(probabilities), -1)  # `argmax` and comparisons pass over NaN
        highest = tf.where(finite, highest, tf.cast(np.nan, highest.dtype))
        true = tf.gather(probabilities, labels, batch_dims=1)
        return cls(predicted, highest, true, tf.reduce_sum(tf.cast(above, tf.int32), -1))


class Counts:
    """Sums over examples: whole numbers, and float64 for the loss.

    Args:
        classes: the number of classes.
        folder: for the images of wrong predictions; `None` saves none.
    """

    def __init__(self, classes: int, folder=None):
        self.classes = classes
        self.pairs = []  # int64 [N] for each batch: true class * classes + predicted class
        self.examples = self.correct = self.correct_top5 = 0
        self.loss = 0.0
        self.wrong = []
        self.folder = Path(folder) if folder is not None else None
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, indices, labels, verdicts: Verdicts, images=None) -> None:
        """Adds examples.

        Args:
            indices, labels: [N], the index of each example in the source, and its label.
            verdicts: arrays.
            images: returns [N, S, S, C]; those with a wrong prediction are saved.

        Raises:
            RuntimeError: the probabilities are NaN or infinite.
        """
        check_finite(verdicts.highest)
        predicted = verdicts.predicted
        self.pairs.append(labels.astype(np.int64) * self.classes + predicted)
        self.correct += int((predicted == labels).sum())
        self.correct_top5 += int((verdicts.above < 5).sum())
        self.loss -= float(np.log(np.maximum(verdicts.true, 1e-30), dtype=np.float64).sum())
        wrong = np.flatnonzero(predicted != labels)[: WRONG_LIMIT - len(self.wrong)]
        pixels = images() if self.folder and len(wrong) else None
        for row in wrong:
            entry = {"index": int(indices[row]), "label": int(labels[row]), "predicted": int(predicted[row])}
            entry["probability"] = float(verdicts.highest[row])
            if self.folder and pixels.shape[-1] in (1, 3):
                entry["image"] = self._save(pixels[row])
            self.wrong.append(entry)
        self.examples += len(labels)

    def _save(self, image) -> str:
        """Writes the image of the next wrong prediction and returns its path in the run folder."""
        name = f"{len(self.wrong) + 1:04d}.png"
        pixels = np.clip(np.round(image), 0, 255).astype(np.uint8)
        (self.folder / name).write_bytes(tf.io.encode_png(pixels).numpy())
        return f"{self.folder.name}/{name}"

    def result(self) -> dict:
        examples = max(self.examples, 1)
        return {
            "examples": self.examples,
            "top1": self.correct / examples,
            "top5": self.correct_top5 / examples,
            "loss": self.loss / examples,
            **confusions_of(np.concatenate([np.zeros(0, np.int64), *self.pairs]), self.classes),
            "wrong": self.wrong,
        }


def confusions_of(pairs: np.ndarray, classes: int) -> dict:
    """Counts confusions without a matrix, which would take 3.8 GB for 21,841 classes.

    Args:
        pairs: int64 [N], the true class times `classes` plus the predicted class.
        classes: the number of classes.

    Returns:
        `confusion`, the matrix as lists, empty for more than `MATRIX_LIMIT` classes, and `confusions`, the most
        frequent confusions as `{"label", "predicted", "count", "of"}`; `of` counts the examples of the true class.
    """
    matrix = []
    if classes <= MATRIX_LIMIT:
        matrix = np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
    examples = np.bincount(pairs // classes, minlength=classes)
    found, counts = np.unique(pairs[pairs // classes != pairs % classes], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:CONFUSIONS_LIMIT]
    confusions = [
        {"label": pair // classes, "predicted": pair % classes, "count": count, "of": int(examples[pair // classes])}
        for pair, count in zip(found[most].tolist(), counts[most].tolist(), strict=True)
    ]
    return {"confusion": matrix, "confusions": confusions}


def _gathered(strategy, value, rows=slice(None)) -> np.ndarray:
    """Returns the values of all devices as one array, in the order of the batch; of this the rows."""
    return np.concatenate([local.numpy() for local in strategy.experimental_local_results(value)])[rows]
