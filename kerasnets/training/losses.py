"""Losses and accuracies of each example. The trainer sums them, so a batch has the same sum on any devices."""

import numpy as np
import tensorflow as tf

from kerasnets.data.sources.source import counts_of


def cross_entropy(logits, labels, label_smoothing: float = 0.0, class_weights=None):
    """Cross-entropy of each example, in float32.

    Args:
        logits: `[B, classes]`, before the softmax.
        labels: int `[B]`, or float `[B, classes]` that sum to 1 (mixup, cutmix).
        label_smoothing: the part of the target that is spread evenly over all classes (Szegedy et al. 2015, 7).
        class_weights: float `[classes]`; the loss of an example is multiplied by the weight of its class, or by the
            mean of them that its soft label gives.

    Returns:
        float32 `[B]`.
    """
    logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    if labels.shape.rank == 1:
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
    else:
        loss = -tf.reduce_sum(tf.cast(labels, tf.float32) * logs, axis=-1)
    if label_smoothing:
        loss = (1.0 - label_smoothing) * loss - label_smoothing * tf.reduce_mean(logs, axis=-1)
    if class_weights is not None:
        one_hot = tf.one_hot(labels, logits.shape[-1]) if labels.shape.rank == 1 else tf.cast(labels, tf.float32)
        loss *= tf.linalg.matvec(one_hot, tf.constant(class_weights, tf.float32))
    return loss


def binary_cross_entropy(
    logits, labels, label_smoothing: float = 0.0, threshold: float | None = None, class_weights=None
):
    """Binary cross-entropy of each example, the mean over the classes, in float32 (Wightman et al. 2021, as in timm).

    Args:
        logits, labels, label_smoothing: as for `cross_entropy`.
        threshold: targets above it become 1, others 0; `None` leaves them as they are.
        class_weights: float `[classes]`; the loss of each class is multiplied by its weight.

    Returns:
        float32 `[B]`.
    """
    logits = tf.cast(logits, tf.float32)
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes) if labels.shape.rank == 1 else tf.cast(labels, tf.float32)
    targets = (1.0 - label_smoothing) * targets + label_smoothing / classes
    if threshold is not None:
        targets = tf.cast(targets > threshold, tf.float32)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses if class_weights is None else losses * class_weights, axis=-1)


def with_class_weights(options, source):
    """Returns the `loss` block with a number for each class of the training images.

    Raises:
        ValueError: there is another number of weights, or the labels are not known before training.
    """
    weights, classes = options.class_weights, len(source.classes)
    if source.multi_label and options.name != "binary_cross_entropy":
        raise ValueError(
            f"Images of {source.name} have several classes; set loss.name to binary_cross_entropy. "
            f"Received: loss.name={options.name!r}"
        )
    if weights is None:
        return options
    if weights == "balanced":
        if source.stream or source.batches is not None:
            raise ValueError(
                f"loss.class_weights=balanced needs all labels before training, and {source.name} is read as a stream. "
                "Give one number for each class. Received: 'balanced'"
            )
        counts = counts_of(source)
        weights = tuple((counts.sum() / np.maximum(counts, 1) / classes).tolist())
    if len(weights) != classes:
        raise ValueError(f"loss.class_weights needs one for each of {classes} classes. Received: {len(weights)}")
    return options.model_copy(update={"class_weights": weights})


def plain(options, multi_label: bool = False):
    """Returns the `loss` block of an evaluation: cross-entropy without smoothing, so that runs are comparable.

    `multi_label` images keep binary cross-entropy.
    """
    changes = {
        "name": "binary_cross_entropy" if multi_label else "cross_entropy",
        "label_smoothing": 0.0,
        "target_threshold": None,
        "class_weights": None,
    }
    return options.model_copy(update=changes)


def own_loss(network, options):
    """Returns the loss function that a network defines itself, or `None`.

    It is the method `example_losses(labels, outputs) -> [B]` of the layer `predictions`, as the RBF layer of the 1998
    LeNet-5 has it. It replaces cross-entropy.

    Raises:
        ValueError: the block asks for another loss or for label smoothing, which such a layer does not have.
    """
    own = getattr(network.get_layer("predictions"), "example_losses", None)
    if own is not None and options.name != "cross_entropy":
        raise ValueError(
            f"{network.name} is trained by its paper's own loss; leave loss.name out. Received: {options.name!r}"
        )
    if own is not None and options.class_weights:
        raise ValueError(f"{network.name} is trained by its paper's own loss; leave loss.class_weights out.")
    if own is not None and options.label_smoothing:
        raise ValueError(
            f"{network.name} is trained by its paper's own loss, which has no label smoothing; "
            f"set loss.label_smoothing=0. Received: loss.label_smoothing={options.label_smoothing}"
        )
    return own


def example_losses(outputs: dict, labels, options, own=None) -> dict:
    """Returns the losses of each example by output name, without the weights of the outputs.

    Args:
        outputs: logits `[B, classes]` by output name; `"predictions"` is the main one.
        labels: as for `cross_entropy`.
        options: the recipe's `loss` block.
        own: the result of `own_loss`, for the main output.
    """

    def loss(logits):
        settings = {"label_smoothing": options.label_smoothing, "class_weights": options.class_weights}
        if options.name == "binary_cross_entropy":
            return binary_cross_entropy(logits, labels, threshold=options.target_threshold, **settings)
        return cross_entropy(logits, labels, **settings)

    losses = {name: loss(logits) for name, logits in outputs.items()}
    if own is not None:
        losses["predictions"] = tf.cast(own(labels, outputs["predictions"]), tf.float32)
    return losses


def output_weights(outputs: list[str], weights: dict) -> dict[str, float]:
    """Returns the loss weight of each output: 1 for `predictions`, what the recipe says for an auxiliary one.

    Raises:
        ValueError: a weight names no output, or an auxiliary output has no weight.
    """
    auxiliary = [name for name in outputs if name != "predictions"]
    for name in weights:
        if name not in outputs:
            raise ValueError(
                f"loss.weights names outputs of the model, which are {', '.join(outputs)} "
                f"(auxiliary ones need model.arguments.aux_heads=true). Received: {name!r}"
            )
    if missing := [name for name in auxiliary if name not in weights]:
        raise ValueError(f"loss.weights needs a weight for each auxiliary output. Missing: {', '.join(missing)}")
    weights = {"predictions": 1.0} | weights
    return {name: weights[name] for name in outputs}


def is_correct(logits, labels, k: int = 1, multi_label: bool = False):
    """Whether the true class is among the `k` highest logits, float32 `[B]`. A soft label means its largest class.

    With `multi_label`: whether one of the true ones is.
    """
    if multi_label:
        highest = tf.math.top_k(tf.cast(logits, tf.float32), min(k, logits.shape[-1])).indices
        true = tf.gather(tf.cast(labels, tf.float32), highest, batch_dims=1)
        return tf.cast(tf.reduce_max(true, axis=-1) > 0.5, tf.float32)
    if labels.shape.rank == 2:
        labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
    logits = tf.cast(logits, tf.float32)
    if k == 1:
        return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == tf.cast(labels, tf.int32), tf.float32)
    return tf.cast(tf.math.in_top_k(labels, logits, k=min(k, logits.shape[-1])), tf.float32)
