"""Evaluation by many looks: crops, whole images at several scales, mirror images, several networks, each example once.

A network's probabilities for an example are the mean over its crops. Over whole images (VGG, section 3.2) logits are
averaged over places, then the probabilities over scales and mirror images. Networks vote by the mean of their
probabilities (AlexNet, section 5), or each has one vote and the mean decides between equals.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.images.crops import CROPS, multi_crop_transform, whole_image_transform
from kerasnets.data.images.per_image import normalise, override
from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources.source import Source
from kerasnets.evaluation.evaluate import WRONG_LIMIT, check_fit
from kerasnets.graph.dense import fully_convolutional
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

VOTES = ("mean", "majority")


@dataclasses.dataclass(frozen=True)
class Looks:
    """How each image is looked at.

    Attributes:
        crops: one of `CROPS`.
        dense: shorter sides of whole images that the network slides over, in place of crops.
        flip: whether mirror images count as well; the ten and the 144 crops have theirs.

    Raises:
        ValueError: for crops that are not known, or a combination that means nothing.
    """

    crops: str = "1"
    dense: tuple[int, ...] = ()
    flip: bool = False

    def __post_init__(self):
        if self.crops not in CROPS:
            raise ValueError(f"`crops` should be one of {', '.join(CROPS)}. Received: crops={self.crops!r}")
        if self.crops != "1" and (self.dense or self.flip):
            other = "dense" if self.dense else "flip"
            raise ValueError(
                f"Several crops go without `{other}`: they have their mirror images. Received: crops={self.crops!r}"
            )

    @property
    def views(self) -> int:
        """How many crops or whole images of each example the network sees."""
        return (len(self.dense) or CROPS[self.crops]) * (2 if self.flip else 1)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a network says: `places` [N] in the source, `labels` [N], `probabilities` float32 [N, classes]."""

    places: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def predict(
    model: keras.Model,
    source: Source,
    preprocessing: Preprocessing,
    options: DataOptions,
    looks: Looks = Looks(),  # noqa: B008 - it is frozen
    batch_size: int = 64,
) -> Predictions:
    """Returns a network's probabilities for every example of `source` that can be decoded, each once.

    Args:
        model: normalised pixels -> probabilities.
        source, preprocessing, options: as for `kerasnets.evaluation.evaluate.score`.
        looks: which crops or whole images.
        batch_size: views at a time, but at least those of one example; whole images go one by one.

    Raises:
        ValueError: the model does not fit the images or the labels, or cannot look in this way.
        RuntimeError: the network gives values that are no numbers.
    """
    check_fit(model, source, preprocessing)
    preprocessing = override(preprocessing, options)
    look = _slide if looks.dense else _look
    transform, images_at_once, forward = look(model, preprocessing, looks, batch_size)
    batches = evaluation_batches(source, preprocessing, options, batch_size=images_at_once, transform=transform)
    places, labels, probabilities, position = [], [], [], 0
    with source.bad_images.explained():
        for images, numbers, weights in batches:
            real = np.flatnonzero(weights.numpy())
            if len(real):
                places.append(position + real)
                labels.append(numbers.numpy()[real])
                probabilities.append(forward(images, real))
            position += images_at_once
    found = Predictions(*(np.concatenate(parts) for parts in (places, labels, probabilities)))
    if not np.isfinite(found.probabilities).all():
        raise RuntimeError("The network gives values that are no numbers; it cannot be evaluated.")
    return found


def _look(model, preprocessing, looks: Looks, batch_size: int):
    """Returns transform, images at once, and (images uint8 [n, views, S, S, C], rows) -> probabilities of the rows."""

    @tf.function(reduce_retracing=True)
    def forward(images):
        views = tf.reshape(images, [-1, *images.shape[2:]])
        found = tf.cast(model(normalise(views, preprocessing), training=False), tf.float32)
        return tf.reduce_mean(tf.reshape(found, [-1, looks.views, found.shape[-1]]), 1)

    transform = multi_crop_transform(preprocessing, looks.crops, looks.flip)
    return transform, max(1, batch_size // looks.views), lambda images, rows: forward(images).numpy()[rows]


def _slide(model, preprocessing, looks: Looks, batch_size: int):
    """Returns transform, images at once, and (serialised images [1, scales], rows) -> probabilities."""
    if min(looks.dense) < preprocessing.size:
        raise ValueError(
            f"`dense` are shorter sides of at least the input size {preprocessing.size}. Received: dense={looks.dense}"
        )
    network = fully_convolutional(model)
    channels = len(preprocessing.mean)

    @tf.function(input_signature=[tf.TensorSpec([None, None, channels], tf.uint8)])
    def forward(image):
        both = tf.stack([image, tf.reverse(image, [1])]) if looks.flip else image[tf.newaxis]
        logits = tf.cast(network(normalise(both, preprocessing, full_constants=False), training=False), tf.float32)
        scores = tf.reduce_mean(logits, [1, 2]) if logits.shape.rank == 4 else logits
        return tf.reduce_mean(tf.nn.softmax(scores), 0)

    def all_scales(images, rows):
        found = [forward(tf.io.parse_tensor(image, tf.uint8)).numpy() for image in images.numpy()[0]]
        return np.mean(found, 0, dtype=np.float64).astype(np.float32)[np.newaxis]

    return whole_image_transform(preprocessing, looks.dense), 1, all_scales


def check_vote(vote: str) -> None:
    """Refuses another vote than `VOTES`."""
    if vote not in VOTES:
        raise ValueError(f"`vote` should be one of {', '.join(VOTES)}. Received: vote={vote!r}")


def together(members: list[Predictions], vote: str = "mean") -> dict:
    """Returns what several networks score together on the same examples.

    Args:
        members: at least one; all on the same examples.
        vote: `"mean"` of the probabilities, or `"majority"`: a vote each for its first class.

    Returns:
        What `evaluate` gives, with the counts: `{"examples", "correct", "correct_top5", "top1", "top5", "loss",
        "confusion", "wrong"}`; the loss is that of the mean probabilities either way.

    Raises:
        ValueError: for another vote, or members that saw other examples or classes.
    """
    check_vote(vote)
    first = members[0]
    for other in members[1:]:
        same = first.probabilities.shape == other.probabilities.shape
        if not same or (first.places != other.places).any() or (first.labels != other.labels).any():
            raise ValueError("The networks of an ensemble are evaluated on the same examples and classes.")
    mean = sum(member.probabilities.astype(np.float64) for member in members) / len(members)
    scores = mean
    if vote == "majority":
        scores = mean.copy()
        for member in members:
            scores[np.arange(len(mean)), member.probabilities.argmax(-1)] += 1.0
    return _count(first.places, first.labels, mean, scores)


def _count(places, labels, probabilities, scores) -> dict:
    """Counts examples by `scores` [N, classes]; the loss is of the true class's probability."""
    rows, predicted = np.arange(len(labels)), scores.argmax(-1)
    confusion = np.zeros((scores.shape[-1],) * 2, np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    correct = int(confusion.trace())
    top5 = int(((scores > scores[rows, labels][:, None]).sum(-1) < 5).sum())
    wrong = [
        {"index": int(places[row]), "label": int(labels[row]), "predicted": int(predicted[row])}
        | {"probability": float(probabilities[row, predicted[row]])}
        for row in np.flatnonzero(predicted != labels)[:WRONG_LIMIT]
    ]
    loss = -np.log(np.maximum(probabilities[rows, labels], 1e-30), dtype=np.float64).sum()
    examples = {"examples": len(labels), "correct": correct, "correct_top5": top5}
    shares = {"top1": correct / len(labels), "top5": top5 / len(labels), "loss": float(loss) / len(labels)}
    return examples | shares | {"confusion": confusion.tolist(), "wrong": wrong}
