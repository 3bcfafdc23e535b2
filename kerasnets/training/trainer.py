"""The training step: a small subclass of `keras.Model` that Keras's own `fit` trains.

It differs from Keras as follows, so that one device and many give the same weights:

* The loss is the sum over examples divided by the global batch. Keras averages the mean losses of the replicas.
* Gradients are summed over the replicas before clipping, loss scaling and weight decay.
* Gradient accumulation splits the batch inside the step, so N micro-batches equal one batch on any number of devices.
* Images arrive as 0-255 pixels. They are mixed (MixUp, CutMix) and normalised inside the step.
* One call runs several steps under every strategy, and the metrics are computed once after it, outside the replicas.
  Keras 3.15.1 cannot do the former on several devices, nor train with several workers at all (keras#20585).
* The step notes a loss that is NaN or infinite in a variable. So nothing has to be read from the device after a step.
"""

import keras
import tensorflow as tf

from kerasnets.data.images.per_batch import mix
from kerasnets.data.images.per_image import normalise
from kerasnets.distribution.replicas import at_least_one, make_averaging, sum_over_replicas, update_everywhere
from kerasnets.distribution.strategy import cluster
from kerasnets.layers.batch_norm import PRESENT
from kerasnets.layers.processor_gradients import use_processor_gradients
from kerasnets.layers.scheduled_drop_path import TrainingProgress
from kerasnets.registry import Preprocessing
from kerasnets.training.losses import example_losses, is_correct, output_weights, own_loss, plain
from kerasnets.training.private_api import BuiltModel


class Trainer(BuiltModel):
    """A network together with what its training step needs. Build it under the strategy's scope.

    Args:
        network: `[B, H, W, C]` normalised pixels -> logits, or a dict of logits with the main one under `predictions`.
        preprocessing: turns 0-255 pixels into the network's input.
        loss: the recipe's `loss` block.
        ema: the recipe's `ema` block, or `None`.
        gradient_accumulation: the number of micro-batches that a batch is split into.
        steps: the length of the whole run, for layers whose strength changes over the run (scheduled drop path).
        jit_compile: whether XLA compiles what a replica does before the sums over the replicas: the passes forward and
            backward, augmentation and loss included.

    Raises:
        ValueError: the loss block does not fit the network.
    """

    # Whether an example may have several classes; its label is then a row of zeros and ones.
    multi_label = False

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
        use_processor_gradients(network)
        self.loss_options, self.ema, self.gradient_accumulation = loss, ema, gradient_accumulation
        names = list(network.output) if isinstance(network.output, dict) else ["predictions"]
        self.classes = network.get_layer("predictions").output.shape[-1]
        self.output_losses = output_weights(names, loss.weights)
        self.own = own_loss(network, loss)
        self.constraints = None  # what `prune` and `share` allow the weights to be
        self.averages = [tf.Variable(w.value, trainable=False) for w in network.weights] if ema else []
        parts = [f"{name}_loss" for name in names] if len(names) > 1 else []
        self.trackers = [keras.metrics.Mean(name) for name in ["loss", "top1", "top5", *parts]]
        # Several workers stop after the same step: each adds its vote inside the step, and all read the sum.
        several = cluster().workers > 1
        self.stop_vote = tf.Variable(0.0, trainable=False) if several else None
        self.stop_votes = tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.SUM) if several else None
        # The first step with a bad loss (0: none), or with loss scaling how many of the last steps had one.
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.bad_step = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=first)
        self.infinite_steps = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=first)
        self.synchronizes = any(getattr(layer, "synchronized", False) for layer in network.layers)
        self.steps, self.jit_step, self.averaging = steps, jit_compile, None
        self.differentiate = self._differentiate
        self.progress = [layer.progress for layer in network.layers if isinstance(layer, TrainingProgress)]
        self.built = True

    @property
    def metrics(self):
        return self.trackers

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            if self.jit_step:  # inside `strategy.run`: XLA cannot compile an operation of several devices
                self.differentiate = tf.function(self._differentiate, jit_compile=True, autograph=False)
            self.train_function = self._several_steps(self.train_step)

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            self.test_function = self._several_steps(self.test_step)

    def _several_steps(self, step):
        """Returns the function that `fit` and `evaluate` call with an iterator. It runs `steps_per_execution` steps.

        It raises StopIteration when the iterator has no batch left. Keras's own loop carries a batch from step to step,
        which fails under MirroredStrategy and MultiWorkerMirroredStrategy (Keras 3.15.1). This loop carries only a
        counter and reads the batch in its body.
        """
        strategy = self.distribute_strategy

        def one_step(done, iterator):
            batch = iterator.get_next_as_optional()

            def run():
                strategy.run(step, args=(batch.get_value(),))
                return done + 1, True

            return tf.cond(batch.has_value(), run, lambda: (done, False))

        @tf.function(reduce_retracing=True, autograph=False)
        def execute(iterator, count):
            done, _ = tf.while_loop(
                lambda done, more: more & (done < count),
                lambda done, more: one_step(done, iterator),
                (tf.constant(0), tf.constant(True)),
                parallel_iterations=1,  # a step reads the variables that the one before it wrote
            )
            with tf.control_dependencies([done]):
                metrics = self.get_metrics_result()
            with tf.device("CPU:0"):
                return tf.identity(done), metrics

        def function(iterator):
            done, metrics = execute(iterator, tf.constant(self.steps_per_execution))
            if not done:  # in the memory of the host: reading it does not wait for the device
                raise StopIteration
            return metrics

        return function

    @property
    def scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, and skips steps whose gradients are infinite."""
        return isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def average_statistics(self) -> None:
        """Sets the moving statistics of batch norm on each replica to their mean. All workers must call it."""
        if self.averaging is None:
            weights = self.network.weights
            statistics = [i for i, w in enumerate(weights) if not w.trainable and w.dtype == "float32"]
            averages = [self.averages[i] for i in statistics] if self.averages else []
            self.averaging = make_averaging(self.distribute_strategy, [weights[i].value for i in statistics] + averages)
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
        images, labels, *draws = data
        if draws:
            images, labels = mix(images, labels, *draws, classes=self.classes)
        for progress in self.progress:
            progress.assign(tf.minimum(tf.cast(self.optimizer.iterations, tf.float32) / self.steps, 1.0))
        # Counted, because an uneven batch gives the replicas different numbers of examples.
        count = sum_over_replicas(tf.cast(tf.shape(images)[0], tf.float32))
        images, labels, present = at_least_one(images, labels)
        token = PRESENT.set(present)
        gradients, overflowed = self._accumulated(images, labels, tf.maximum(count, 1.0))
        PRESENT.reset(token)
        pairs = [(g, v) for g, v in zip(gradients, self.trainable_variables, strict=True) if g is not None]
        gradients, variables = map(list, zip(*pairs, strict=True))
        *gradients, overflowed = sum_over_replicas([*gradients, overflowed])
        if self.constraints:
            gradients = self.constraints.gradients(gradients, variables)
        self.optimizer.apply(gradients, variables)
        self._note_bad_loss(overflowed > 0)
        if self.ema:
            update_everywhere(_average, self.averages, [w.value for w in self.network.weights], self._momentum())
        if self.constraints:
            self.constraints.apply(self.averages)
        if self.stop_votes is not None:
            self.stop_votes.assign_add(tf.identity(self.stop_vote))

    def _note_bad_loss(self, bad):
        if self.scales_loss:
            self.infinite_steps.assign(tf.where(bad, self.infinite_steps + 1, 0))
        else:
            first = bad & tf.equal(self.bad_step, 0)
            self.bad_step.assign(tf.where(first, tf.cast(self.optimizer.iterations, tf.int64), self.bad_step))

    def test_step(self, data):
        images, labels, weights = data
        outputs = self.logits(images, training=False)
        # The plain loss of the main output: runs with other smoothing or auxiliary heads stay comparable.
        losses = example_losses(outputs, labels, plain(self.loss_options, self.multi_label), self.own)
        self._update_metrics(self._values(outputs, labels, losses, losses["predictions"]), weights)

    def inference_weights(self) -> list:
        """Returns the weights of the finished network, in the order of `network.weights`: the averages, if any."""
        return self.averages or [w.value for w in self.network.weights]

    def _accumulated(self, images, labels, count):
        """Returns the sum of `_gradients` over the micro-batches."""
        parts = self.gradient_accumulation
        if parts == 1:
            return self._gradients(images, labels, count)
        size = tf.shape(images)[0] // parts
        connected = []  # whether the loss depends on each variable; tracing the loop's body tells

        def add(part, sums, overflowed):
            # One after the other: else all micro-batches could be in memory at once.
            with tf.control_dependencies([overflowed]):
                gradients, more = self._gradients(
                    *(_part(t, part * size, size, parts) for t in (images, labels)), count
                )
            connected[:] = [g is not None for g in gradients]
            sums = [s if g is None else s + g for s, g in zip(sums, gradients, strict=True)]
            return part + 1, sums, overflowed + more

        state = (0, [tf.zeros(v.shape, v.dtype) for v in self.trainable_variables], tf.constant(0.0))
        if self.synchronizes:  # synchronised batch norm sums over the replicas, which TensorFlow forbids in a loop
            for _ in range(parts):
                state = add(*state)
        else:
            state = tf.while_loop(lambda part, *_: part < parts, add, state, parallel_iterations=1)
        return [s if there else None for s, there in zip(state[1], connected, strict=True)], state[2]

    def _gradients(self, images, labels, count):
        """Updates the metrics; returns the gradients of these examples and how many have an infinite loss (float32).

        The loss is the sum over these examples, divided by `count`, the size of the global batch.
        """
        gradients, values, weights = self.differentiate(images, labels, count, PRESENT.get())
        # Loss scaling skips a step with an infinite loss; the metrics skip the examples with one.
        finite = tf.cast(tf.math.is_finite(values["loss"]), tf.float32)
        self._update_metrics(values, weights * finite if self.scales_loss else weights)
        return gradients, tf.reduce_sum(weights * (1.0 - finite))

    def _differentiate(self, images, labels, count, present):
        """Returns the gradients, and the values of the metrics and the weight of each example.

        It calls nothing that needs the other replicas, unless batch norm is synchronised.
        """
        token = PRESENT.set(present)  # in a function of its own, a tensor of the graph around it cannot be used
        present = 1.0 if present is None else present
        with tf.GradientTape() as tape:
            outputs = self.logits(images, training=True)
            losses = example_losses(outputs, labels, self.loss_options, self.own)
            weighted = tf.add_n([weight * losses[name] for name, weight in self.output_losses.items()])
            total = present * tf.reduce_sum(weighted) / count
            if self.network.losses:
                shares = tf.distribute.get_replica_context().num_replicas_in_sync * self.gradient_accumulation
                total += tf.cast(tf.add_n(self.network.losses), tf.float32) / shares
            total = self.optimizer.scale_loss(total)
        PRESENT.reset(token)
        values = self._values(outputs, labels, losses, weighted)
        return tape.gradient(total, self.trainable_variables), values, tf.fill(tf.shape(weighted), present)

    def _values(self, outputs, labels, losses, loss) -> dict:
        """Returns the values [B] of the metrics by their names."""
        main = outputs["predictions"]
        values = {f"{name}_loss": each for name, each in losses.items()} | {"loss": loss}
        correct = {f"top{k}": is_correct(main, labels, k, self.multi_label) for k in (1, 5)}
        return values | correct

    def _update_metrics(self, values, weights):
        """Adds a batch to the metrics of the epoch; each example counts with its weight."""
        for tracker in self.trackers:
            value = values[tracker.name]
            tracker.update_state(tf.where(weights > 0, value, 0.0) if self.scales_loss else value, weights)

    def _momentum(self):
        step = tf.cast(self.optimizer.iterations, tf.float32)
        warm = (1.0 + step) / (10.0 + step)
        momentum = tf.minimum(self.ema.momentum, warm) if self.ema.warmup else tf.constant(self.ema.momentum)
        every = self.ema.every_steps
        return momentum if every == 1 else tf.where(tf.equal(self.optimizer.iterations % every, 0), momentum, 1.0)


def _average(average, weight, momentum):
    # In this form the average of a frozen weight equals that weight to the last bit.
    average.assign_add((1.0 - momentum) * (tf.cast(weight, average.dtype) - average))


def _part(tensor, start, size, parts: int):
    """Returns `size` examples from `start` on, one of `parts` equal parts. It has a static size if the whole has."""
    whole = tensor.shape[0]
    return tf.ensure_shape(tensor[start : start + size], [whole and whole // parts, *tensor.shape[1:]])
