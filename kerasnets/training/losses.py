"""Losses over examples: each returns one number an example, so that the sum over a batch is the same on any devices."""

import tensorflow as tf


def cross_entropy(logits, labels, label_smoothing: float = 0.0):
    """Cross-entropy of each example, in float32.

    Args:
        logits: `[B, classes]`, before the softmax.
        labels: int `[B]`, or float `[B, classes]` that sum to 1 (mixup, cutmix).
        label_smoothing: the share of the target that is spread evenly over all classes (Szegedy et al. 2015, 7).

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
    return loss


def binary_cross_entropy(logits, labels, label_smoothing: float = 0.0, threshold: float | None = None):
    """Mean over the classes of each one's binary cross-entropy, in float32 (Wightman et al. 2021, as timm has it).

    Args:
        logits, labels, label_smoothing: as for `cross_entropy`.
        threshold: targets above it count as 1, others as 0; `None` leaves them.

    Returns:
        float32 `[B]`.
    """
    logits = tf.cast(logits, tf.float32)
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes) if labels.shape.rank == 1 else tf.cast(labels, tf.float32)
    targets = (1.0 - label_smoothing) * targets + label_smoothing / classes
    if threshold is not None:
        targets = tf.cast(targets > threshold, tf.float32)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=-1)


def plain(options):
    """Returns the `loss` block that evaluation takes: cross-entropy without smoothing, so that runs compare."""
    return options.model_copy(update={"name": "cross_entropy", "label_smoothing": 0.0, "target_threshold": None})


def own_loss(network, options):
    """Returns the loss that a network brings along, or `None`.

    A `predictions` layer with a method `example_losses(labels, outputs) -> [B]` (the RBF layer of the 1998 LeNet-5)
    is trained by it in place of cross-entropy.

    Raises:
        ValueError: label smoothing or another loss, of which such a layer knows nothing.
    """
    own = getattr(network.get_layer("predictions"), "example_losses", None)
    if own is not None and options.name != "cross_entropy":
        raise ValueError(
            f"{network.name} is trained by its paper's own loss; leave loss.name out. Received: {options.name!r}"
        )
    if own is not None and options.label_smoothing:
        raise ValueError(
            f"{network.name} is trained by its paper's own loss, which has no label smoothing; "
            f"set loss.label_smoothing=0. Received: loss.label_smoothing={options.label_smoothing}"
        )
    return own


def example_losses(outputs: dict, labels, options, own=None) -> dict:
    """Losses of each example by output name, unweighted.

    Args:
        outputs: logits `[B, classes]` by output name; `"predictions"` is the main one.
        labels: as for `cross_entropy`.
        options: the recipe's `loss` block.
        own: the loss of `own_loss` for the main output.
    """

    def loss(logits):
        if options.name == "binary_cross_entropy":
            return binary_cross_entropy(logits, labels, options.label_smoothing, options.target_threshold)
        return cross_entropy(logits, labels, options.label_smoothing)

    losses = {name: loss(logits) for name, logits in outputs.items()}
    if own is not None:
        losses["predictions"] = tf.cast(own(labels, outputs["predictions"]), tf.float32)
    return losses


def check_weights(outputs: list[str], weights: dict) -> dict[str, float]:
    """Returns the weight of every output; the main one has 1, an auxiliary one what the recipe says.

    Raises:
        ValueError: a weight for an output that is not there, or an output without weight.
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
    return {"predictions": 1.0} | weights


def is_correct(logits, labels, k: int = 1):
    """Whether the true class is among the `k` highest, as float32 `[B]`; a soft label counts by its largest class."""
    if labels.shape.rank == 2:
        labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
    logits = tf.cast(logits, tf.float32)
    if k == 1:
        return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == tf.cast(labels, tf.int32), tf.float32)
    return tf.cast(tf.math.in_top_k(labels, logits, k=min(k, logits.shape[-1])), tf.float32)
