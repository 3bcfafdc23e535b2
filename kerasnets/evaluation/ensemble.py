"""Evaluation with several crops or scales of each image (test-time augmentation), and of several networks (ensembles).

Every example counts once. The probabilities of a network for an example are the mean over its crops. On whole images
(VGG, section 3.2) the logits are averaged over positions, then the probabilities over scales and mirror images. An
ensemble averages the probabilities of its networks (AlexNet, section 5), or each network has one vote and the mean
decides between classes with equally many votes.
"""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from kerasnets.data.images.crops import CROPS, multi_crop_transform, whole_image_transform
from kerasnets.data.images.per_image import normalise, override
from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources.source import Source
from kerasnets.evaluation.evaluate import Counts, Verdicts, check_finite, check_fit
from kerasnets.graph.dense import fully_convolutional
from kerasnets.recipe.data_options import DataOptions
from kerasnets.registry import Preprocessing

VOTES = ("mean", "majority")


@dataclasses.dataclass(frozen=True)
class TestTimeAugmentation:
    """Which versions of each image the network sees; its probabilities are averaged over them.

    Attributes:
        crops: one of `CROPS`.
        dense: shorter sides of whole images for dense evaluation, in place of crops.
        flip: adds the mirror images; the 10 and the 144 crops always have theirs.

    Raises:
        ValueError: the crops are unknown, or cannot be combined with `dense` or `flip`.
    """

    crops: str = "1"
    dense: tuple[int, ...] = ()
    flip: bool = False

    def __post_init__(self):
        if self.crops not in CROPS:
            raise ValueError(f"`crops` should be one of {', '.join(CROPS)}. Received: crops={self.crops!r}")
        if self.crops != "1" and (self.dense or self.flip):
            other = "`dense`, which needs no crops" if self.dense else "`flip`, because they have their mirror images"
            raise ValueError(f"Several crops cannot be combined with {other}. Received: crops={self.crops!r}")

    @property
    def images_per_example(self) -> int:
        """The number of crops or whole images of each example that the network sees."""
        return (len(self.dense) or CROPS[self.crops]) * (2 if self.flip else 1)


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities of a network: `indices` [N] in the source, `labels` [N], `probabilities` float32 [N, classes]."""

    indices: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def predict(
    model: keras.Model,
    source: Source,
    preprocessing: Preprocessing,
    options: DataOptions,
    augmentation: TestTimeAugmentation = TestTimeAugmentation(),  # noqa: B008 - it is frozen
    batch_size: int = 64,
) -> Predictions:
    """Returns the probabilities of a network for every example of `source` that can be decoded, each once.

    Args:
        model: normalised pixels -> probabilities.
        source, preprocessing, options: as for `kerasnets.evaluation.evaluate.score`.
        augmentation: crops or whole images.
        batch_size: crops at a time, but at least those of one example; whole images go one by one.

    Raises:
        ValueError: the model does not fit the images, the labels or the augmentation.
        RuntimeError: the network returns NaN or infinite values.
    """
    check_fit(model, source, preprocessing)
    preprocessing = override(preprocessing, options)
    make_forward = _dense_forward if augmentation.dense else _crops_forward
    transform, images_at_once, forward = make_forward(model, preprocessing, augmentation, batch_size)
    batches = evaluation_batches(source, preprocessing, options, batch_size=images_at_once, transform=transform)
    indices, labels, probabilities, position = [], [], [], 0
    with source.bad_images.explained():
        for images, numbers, weights in batches:
            real = np.flatnonzero(weights.numpy())
            if len(real):
                indices.append(position + real)
                labels.append(numbers.numpy()[real])
                probabilities.append(forward(images, real))
            position += images_at_once
    found = Predictions(*(np.concatenate(arrays) for arrays in (indices, labels, probabilities)))
    check_finite(found.probabilities)
    return found


def _crops_forward(model, preprocessing, augmentation: TestTimeAugmentation, batch_size: int):
    """Returns transform, images at once, and (images uint8 [n, crops, S, S, C], rows) -> probabilities of the rows."""
    count = augmentation.images_per_example

    @tf.function(reduce_retracing=True)
    def forward(images):
        crops = tf.reshape(images, [-1, *images.shape[2:]])
        found = tf.cast(model(normalise(crops, preprocessing), training=False), tf.float32)
        return tf.reduce_mean(tf.reshape(found, [-1, count, found.shape[-1]]), 1)

    transform = multi_crop_transform(preprocessing, augmentation.crops, augmentation.flip)
    return transform, max(1, batch_size // count), lambda images, rows: forward(images).numpy()[rows]


def _dense_forward(model, preprocessing, augmentation: TestTimeAugmentation, batch_size: int):
    """Returns transform, images at once, and (serialised images [1, scales], rows) -> probabilities."""
    if min(augmentation.dense) < preprocessing.size:
        raise ValueError(
            f"`dense` needs shorter sides of at least the input size {preprocessing.size}. "
            f"Received: dense={augmentation.dense}"
        )
    network = fully_convolutional(model)
    channels = len(preprocessing.mean)

    @tf.function(input_signature=[tf.TensorSpec([None, None, channels], tf.uint8)])
    def forward(image):
        images = tf.stack([image, tf.reverse(image, [1])]) if augmentation.flip else image[tf.newaxis]
        logits = tf.cast(network(normalise(images, preprocessing, full_constants=False), training=False), tf.float32)
        scores = tf.reduce_mean(logits, [1, 2]) if logits.shape.rank == 4 else logits
        return tf.reduce_mean(tf.nn.softmax(scores), 0)

    def all_scales(images, rows):
        found = [forward(tf.io.parse_tensor(image, tf.uint8)).numpy() for image in images.numpy()[0]]
        return np.mean(found, 0, dtype=np.float64).astype(np.float32)[np.newaxis]

    return whole_image_transform(preprocessing, augmentation.dense), 1, all_scales


def evaluate_ensemble(
    members: Iterable[tuple[str, tuple]],
    augmentation: TestTimeAugmentation,
    vote: str = "mean",
    batch_size: int = 64,
) -> dict:
    """Evaluates networks on the same labelled images, each alone and all as an ensemble.

    Args:
        members: `(name, (model, source, preprocessing, options))` for each network, as `predict` takes them. Only one
            of them is held at a time, so a generator saves memory.
        augmentation: crops or whole images.
        vote: how the members decide, `"mean"` or `"majority"`.
        batch_size: crops at a time.

    Returns:
        The result of `combine_predictions`, with `"crops"`, `"dense"`, `"flip"`, `"views"`, `"vote"` and `"members"`,
        the list of `{"target", "examples", "top1", "top5", "loss"}`.

    Raises:
        ValueError: the vote is unknown, the networks saw different examples or classes, or an image may have several
            classes.
    """
    check_vote(vote)
    predictions, scores = [], []
    for name, (model, source, preprocessing, options) in members:
        if source.multi_label:
            raise ValueError(
                "Images with several classes are evaluated by one network, on one crop that is not mirrored. "
                f"Received: {source.name}"
            )
        predictions.append(predict(model, source, preprocessing, options, augmentation, batch_size))
        alone = combine_predictions(predictions[-1:])
        scores.append({"target": name} | {key: alone[key] for key in ("examples", "top1", "top5", "loss")})
    settings = {"views": augmentation.images_per_example, "vote": vote, "members": scores}
    return dataclasses.asdict(augmentation) | settings | combine_predictions(predictions, vote)


def check_vote(vote: str) -> None:
    """Raises ValueError for a vote that is not one of `VOTES`."""
    if vote not in VOTES:
        raise ValueError(f"`vote` should be one of {', '.join(VOTES)}. Received: vote={vote!r}")


def combine_predictions(members: list[Predictions], vote: str = "mean") -> dict:
    """Returns the scores of several networks as an ensemble on the same examples.

    Args:
        members: the predictions of at least one network; all on the same examples.
        vote: `"mean"` of the probabilities, or `"majority"`: each network votes for its most probable class.

    Returns:
        The result of `evaluate`, with counts: `{"examples", "correct", "correct_top5", "top1", "top5", "loss",
        "confusion", "confusions", "wrong"}`. The loss is that of the mean probabilities for both votes.

    Raises:
        ValueError: the vote is unknown, or the members saw different examples or classes.
    """
    check_vote(vote)
    first = members[0]
    for other in members[1:]:
        same = first.probabilities.shape == other.probabilities.shape
        if not same or (first.indices != other.indices).any() or (first.labels != other.labels).any():
            raise ValueError(
                "All networks of an ensemble need the same examples and classes; evaluate them on the same split."
            )
    mean = sum(member.probabilities.astype(np.float64) for member in members) / len(members)
    scores = mean
    if vote == "majority":
        scores = mean.copy()
        for member in members:
            scores[np.arange(len(mean)), member.probabilities.argmax(-1)] += 1.0
    counts = Counts(mean.shape[-1])
    verdicts = Verdicts.of(mean, first.labels, scores)
    counts.add(first.indices, first.labels, Verdicts(*(tensor.numpy() for tensor in verdicts)))
    found = counts.result()
    numbers = {"examples": found["examples"], "correct": counts.correct, "correct_top5": counts.correct_top5}
    return numbers | found
