"""The training step: one small subclass of `keras.Model`, trained by Keras's own `fit`.

What it does otherwise than Keras, so that one device and many give the same weights:

* the loss is the sum over examples divided by the *global* batch (Keras averages the means of the replicas);
* gradients are summed over the replicas first; clipping, loss scaling and weight decay come after;
* gradient accumulation splits the batch inside the step, so that N micro-batches are one batch on any devices;
* images arrive as 0-255 pixels and are normalised here;
* logs are vectors of one under several workers, whom Keras's `fit` otherwise refuses (keras#20585).
"""

import keras
import tensorflow as tf

from kerasnets.data.preprocess import normalise
from kerasnets.layers.scheduled_drop_path import TrainingProgress
from kerasnets.registry import Preprocessing
from kerasnets.training.losses import check_weights, example_losses, is_correct, own_loss
from kerasnets.training.strategy import cluster, sum_over_replicas, update_everywhere


class Trainer(keras.Model):
    """A network together with what its training step needs. Build it under the strategy's scope.

    Args:
        network: `[B, H, W, C]` normalised pixels -> logits, or a dict of logits with the main one under `predictions`.
        preprocessing: turns 0-255 pixels into the network's input.
        loss: the recipe's `loss` block.
        ema: the recipe's `ema` block, or `None`.
        gradient_accumulation: number of micro-batches that a batch is split into.
        steps: the length of the whole run, for layers that change their work over it.

    Raises:
        ValueError: the loss block does not fit the network.
    """

    def __init__(self, network, preprocessing: Preprocessing, loss, *, ema=None, gradient_accumulation=1, steps=1):
        super().__init__(name="trainer", dtype="float32")
        self.network, self.preprocessing = network, preprocessing
        self.loss_options, self.ema, self.gradient_accumulation = loss, ema, gradient_accumulation
        names = list(network.output) if isinstance(network.output, dict) else ["predictions"]
        self.output_losses = {name: check_weights(names, loss.weights)[name] for name in names}
        self.own = own_loss(network, loss)
        self.averages = [tf.Variable(w.value, trainable=False) for w in network.weights] if ema else []
        parts = [f"{name}_loss" for name in names] if len(names) > 1 else []
        self.trackers = [keras.metrics.Mean(name) for name in ["loss", "top1", "top5", *parts]]
        # Several workers stop after the same step: each adds its wish, and all see the sum.
        several = cluster().workers > 1
        self.stop_wish = tf.Variable(0.0, trainable=False) if several else None
        self.stop_votes = tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.SUM) if several else None
        self.steps = steps
        self.progress = [layer.progress for layer in network.layers if isinstance(layer, TrainingProgress)]
        self.built = True

    @property
    def metrics(self):
        return self.trackers

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Everything is built already; Keras would run one batch to find that out, wrongly on some strategies."""

    def logits(self, images, training: bool) -> dict:
        """Returns the outputs by name for 0-255 pixels."""
        outputs = self.network(normalise(images, self.preprocessing), training=training)
        return outputs if isinstance(outputs, dict) else {"predictions": outputs}

    def call(self, images, training=False):
        return self.logits(images, training)["predictions"]

    def train_step(self, data):
        images, labels = data
        for progress in self.progress:
            progress.assign(tf.minimum(tf.cast(self.optimizer.iterations, tf.float32) / self.steps, 1.0))
        # Counted, not assumed: with an uneven batch the replicas hold different shares of it.
        count = sum_over_replicas(tf.cast(tf.shape(images)[0], tf.float32))
        parts = self.gradient_accumulation
        gradients = None
        for part in zip(*(tf.split(tensor, parts) for tensor in (images, labels)), strict=True):
            # One after the other, or the micro-batches would all be in memory at once.
            with tf.control_dependencies([g for g in gradients or [] if g is not None]):
                more = self._gradients(*part, tf.maximum(count, 1.0))
            gradients = more if gradients is None else [_add(a, b) for a, b in zip(gradients, more, strict=True)]
        pairs = [(g, v) for g, v in zip(gradients, self.trainable_variables, strict=True) if g is not None]
        gradients, variables = map(list, zip(*pairs, strict=True))
        self.optimizer.apply(sum_over_replicas(gradients), variables)
        if self.ema:
            update_everywhere(_average, self.averages, [w.value for w in self.network.weights], self._momentum())
        return self._logs()

    def test_step(self, data):
        images, labels, weights = data
        outputs = self.logits(images, training=False)
        # The plain loss of the main output, so that runs with and without smoothing or auxiliary heads compare.
        plain = self.loss_options.model_copy(update={"label_smoothing": 0.0})
        losses = example_losses(outputs, labels, plain, self.own)
        self._count(outputs, labels, losses, losses["predictions"], weights)
        return self._logs()

    def inference_weights(self) -> list:
        """Returns the finished network's weights in the order of `network.weights`: the averages, if there are any."""
        return self.averages or [w.value for w in self.network.weights]

    def _gradients(self, images, labels, count):
        """Returns the gradient of the share that these examples have in the loss of the global batch of `count`."""
        with tf.GradientTape() as tape:
            outputs = self.logits(images, training=True)
            losses = example_losses(outputs, labels, self.loss_options, self.own)
            weighted = tf.add_n([weight * losses[name] for name, weight in self.output_losses.items()])
            total = tf.reduce_sum(weighted) / count
            if self.network.losses:
                shares = tf.distribute.get_replica_context().num_replicas_in_sync * self.gradient_accumulation
                total += tf.cast(tf.add_n(self.network.losses), tf.float32) / shares
            total = self.optimizer.scale_loss(total)
        self._count(outputs, labels, losses, weighted)
        return tape.gradient(total, self.trainable_variables)

    def _count(self, outputs, labels, losses, loss, weights=None):
        """Adds a batch to the epoch's numbers; every example counts once, or with its weight."""
        main = outputs["predictions"]
        values = {f"{name}_loss": each for name, each in losses.items()} | {"loss": loss}
        values["top1"], values["top5"] = is_correct(main, labels), is_correct(main, labels, 5)
        for tracker in self.trackers:
            tracker.update_state(values[tracker.name], weights)

    def _logs(self):
        shape = []
        if self.stop_votes is not None:
            self.stop_votes.assign_add(tf.identity(self.stop_wish))
            shape = [1]  # Keras reduces several workers' logs along their first axis
        return {tracker.name: tf.reshape(tracker.result(), shape) for tracker in self.trackers}

    def _momentum(self):
        step = tf.cast(self.optimizer.iterations, tf.float32)
        warm = (1.0 + step) / (10.0 + step)
        return tf.minimum(self.ema.momentum, warm) if self.ema.warmup else tf.constant(self.ema.momentum)


def _average(average, weight, momentum):
    # In this form the average of a weight that stays, a frozen one, is that weight to the last bit.
    average.assign_add((1.0 - momentum) * (tf.cast(weight, average.dtype) - average))


def _add(a, b):
    return b if a is None else a if b is None else a + b
