"""The training step: one small subclass of `keras.Model`, trained by Keras's own `fit`.

What it does otherwise than Keras, so that one device and many give the same weights:

* the loss is the sum over examples divided by the *global* batch (Keras averages the means of the replicas);
* gradients are summed over the replicas first; clipping, loss scaling and weight decay come after;
* gradient accumulation splits the batch inside the step, so that N micro-batches are one batch on any devices;
* images arrive as 0-255 pixels and are normalised here;
* several steps run in one call under every strategy (`execution.py`), and logs are read outside the replicas, which
  Keras's `fit` cannot do with several workers (keras#20585).
"""

import keras
import tensorflow as tf

from kerasnets.data.preprocess import normalise
from kerasnets.distribution.replicas import at_least_one, make_averaging
from kerasnets.distribution.strategy import cluster, sum_over_replicas, update_everywhere
from kerasnets.layers.batch_norm import PRESENT
from kerasnets.layers.scheduled_drop_path import TrainingProgress
from kerasnets.registry import Preprocessing
from kerasnets.training.execution import make_execution
from kerasnets.training.losses import check_weights, example_losses, is_correct, own_loss, plain


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

    def __init__(
        self,
        network,
        preprocessing: Preprocessing,
        loss,
        *,
        ema=None,
        gradient_accumulation=1,
        steps=1,
        jit_compile=False,
    ):
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
        self.infinite_steps = tf.Variable(0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        self.synchronizes = any(getattr(layer, "synchronized", False) for layer in network.layers)
        self.steps, self.jit_step, self.averaging = steps, jit_compile, None
        self.progress = [layer.progress for layer in network.layers if isinstance(layer, TrainingProgress)]
        self.built = True

    @property
    def metrics(self):
        return self.trackers

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Everything is built already; Keras would run one batch to find that out, wrongly on some strategies."""

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            self.train_function = self._execution(self.train_step)

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            self.test_function = self._execution(self.test_step)

    def _execution(self, step):
        settings = (self.get_metrics_result, lambda: self.steps_per_execution, self.jit_step)
        return make_execution(self.distribute_strategy, step, *settings)

    @property
    def scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, and leaves out steps whose gradients are infinite."""
        return isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def average_statistics(self) -> None:
        """Give all replicas one mean of batch norm's moving statistics; all workers have to call it."""
        if self.averaging is None:
            weights = self.network.weights
            places = [i for i, w in enumerate(weights) if not w.trainable and w.dtype == "float32"]
            averages = [self.averages[i] for i in places] if self.averages else []
            self.averaging = make_averaging(self.distribute_strategy, [weights[i].value for i in places] + averages)
        self.averaging()

    def evaluate(self, *args, **kwargs):
        self.average_statistics()
        return super().evaluate(*args, **kwargs)

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
        images, labels, present = at_least_one(images, labels)
        token = PRESENT.set(present)
        gradients, overflowed = self._accumulated(images, labels, tf.maximum(count, 1.0))
        PRESENT.reset(token)
        pairs = [(g, v) for g, v in zip(gradients, self.trainable_variables, strict=True) if g is not None]
        gradients, variables = map(list, zip(*pairs, strict=True))
        self.optimizer.apply(sum_over_replicas(gradients), variables)
        if self.scales_loss:
            infinite = sum_over_replicas(overflowed) > 0
            self.infinite_steps.assign(tf.where(infinite, self.infinite_steps + 1, 0))
        if self.ema:
            update_everywhere(_average, self.averages, [w.value for w in self.network.weights], self._momentum())
        if self.stop_votes is not None:
            self.stop_votes.assign_add(tf.identity(self.stop_wish))

    def test_step(self, data):
        images, labels, weights = data
        outputs = self.logits(images, training=False)
        # The plain loss of the main output, so that runs with and without smoothing or auxiliary heads compare.
        losses = example_losses(outputs, labels, plain(self.loss_options), self.own)
        self._count(outputs, labels, losses, losses["predictions"], weights)

    def inference_weights(self) -> list:
        """Returns the finished network's weights in the order of `network.weights`: the averages, if there are any."""
        return self.averages or [w.value for w in self.network.weights]

    def _accumulated(self, images, labels, count):
        """Returns `_gradients` of the batch, the sum of those of its micro-batches."""
        parts = self.gradient_accumulation
        if parts == 1:
            return self._gradients(images, labels, count)
        size = tf.shape(images)[0] // parts
        connected = []  # Whether the loss depends on each variable: known once the loop's body is traced.

        def add(part, sums, overflowed):
            # One after the other, or the micro-batches would all be in memory at once.
            with tf.control_dependencies([overflowed]):
                gradients, more = self._gradients(
                    *(_part(t, part * size, size, parts) for t in (images, labels)), count
                )
            connected[:] = [g is not None for g in gradients]
            sums = [s if g is None else s + g for s, g in zip(sums, gradients, strict=True)]
            return part + 1, sums, overflowed + more

        state = (0, [tf.zeros(v.shape, v.dtype) for v in self.trainable_variables], tf.constant(0.0))
        if self.synchronizes:  # The replicas meet inside the step, which TensorFlow forbids in a loop of the graph.
            for _ in range(parts):
                state = add(*state)
        else:
            state = tf.while_loop(lambda part, *_: part < parts, add, state, parallel_iterations=1)
        return [s if there else None for s, there in zip(state[1], connected, strict=True)], state[2]

    def _gradients(self, images, labels, count):
        """Returns the gradient of the share that these examples have in the loss of the global batch of `count`.

        And how many of them have an infinite loss, as float32.
        """
        present = 1.0 if PRESENT.get() is None else PRESENT.get()
        with tf.GradientTape() as tape:
            outputs = self.logits(images, training=True)
            losses = example_losses(outputs, labels, self.loss_options, self.own)
            weighted = tf.add_n([weight * losses[name] for name, weight in self.output_losses.items()])
            total = present * tf.reduce_sum(weighted) / count
            if self.network.losses:
                shares = tf.distribute.get_replica_context().num_replicas_in_sync * self.gradient_accumulation
                total += tf.cast(tf.add_n(self.network.losses), tf.float32) / shares
            total = self.optimizer.scale_loss(total)
        weights = tf.fill(tf.shape(weighted), present)
        # Loss scaling leaves out a step with an infinite loss; the epoch's numbers leave out the examples.
        finite = tf.cast(tf.math.is_finite(weighted), tf.float32)
        self._count(outputs, labels, losses, weighted, weights * finite if self.scales_loss else weights)
        return tape.gradient(total, self.trainable_variables), tf.reduce_sum(weights * (1.0 - finite))

    def _count(self, outputs, labels, losses, loss, weights):
        """Adds a batch to the epoch's numbers; every example counts with its weight."""
        main = outputs["predictions"]
        values = {f"{name}_loss": each for name, each in losses.items()} | {"loss": loss}
        values["top1"], values["top5"] = is_correct(main, labels), is_correct(main, labels, 5)
        for tracker in self.trackers:
            value = values[tracker.name]
            tracker.update_state(tf.where(weights > 0, value, 0.0) if self.scales_loss else value, weights)

    def _momentum(self):
        step = tf.cast(self.optimizer.iterations, tf.float32)
        warm = (1.0 + step) / (10.0 + step)
        return tf.minimum(self.ema.momentum, warm) if self.ema.warmup else tf.constant(self.ema.momentum)


def _average(average, weight, momentum):
    # In this form the average of a weight that stays, a frozen one, is that weight to the last bit.
    average.assign_add((1.0 - momentum) * (tf.cast(weight, average.dtype) - average))


def _part(tensor, start, size, parts: int):
    """Returns `size` examples from `start` on, one of equal parts; its static size is known where the whole's is."""
    whole = tensor.shape[0]
    return tf.ensure_shape(tensor[start : start + size], [whole and whole // parts, *tensor.shape[1:]])
