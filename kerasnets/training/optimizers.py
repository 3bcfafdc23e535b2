"""Optimizers and learning-rate schedules of a recipe.

The optimizers are Keras's, with two differences. They take gradients that are *already summed over the replicas*, so
that clipping and the check for finite values see the gradient of the whole batch (Keras clips each replica's own, which
gives another result on every number of devices). And weight decay leaves batch norm and biases alone: every variable
with fewer than two axes is exempt, unless `decay_all` includes them. For SGD and RMSprop it is L2 inside the gradient,
added after clipping as Caffe and PyTorch do, or before it (`clip_weight_decay`) as TF-slim does, where L2 is part of
the loss. For AdamW it is decoupled; for LAMB it is part of the update whose length the trust ratio sets.
"""

import math

import keras
import tensorflow as tf


def decayed(variable, options) -> bool:
    """Whether weight decay applies: to kernels, not to biases and the scales and offsets of normalisation layers.

    options: the recipe's `optimizer` block, of which `undecayed` spares more and `decay_all` less.
    """
    kernel = options.decay_all or len(variable.shape) > 1
    return kernel and not any(part in variable.path for part in options.undecayed)


class _Summed:
    """Makes a Keras optimizer take gradients that are summed over the replicas, and adds `l2 * w` to them.

    `l2` has a number for each variable; empty is 0 for all.
    """

    l2 = ()
    l2_clipped = False

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars

    def _backend_apply_gradients(self, grads, trainable_variables):  # which clips them
        if self.l2_clipped:
            grads = self._with_l2(grads, trainable_variables)
        super()._backend_apply_gradients(grads, trainable_variables)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not self.l2_clipped:
            grads = self._with_l2(grads, trainable_variables)
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _with_l2(self, grads, variables):
        if not self.l2:
            return grads
        numbers = [self.l2[self._get_variable_index(v)] for v in variables]
        return [g + tf.cast(n, g.dtype) * v if n else g for g, n, v in zip(grads, numbers, variables, strict=True)]


class SGD(_Summed, keras.optimizers.SGD):
    """`v = momentum v - lr g; w = w + v` (Caffe's form, not PyTorch's); `rates` are factors, one a variable."""

    rates = None

    def update_step(self, gradient, variable, learning_rate):
        rate = self.rates[self._get_variable_index(variable)] if self.rates else 1.0
        super().update_step(gradient, variable, learning_rate if rate == 1.0 else learning_rate * rate)


class RMSprop(_Summed, keras.optimizers.RMSprop):
    """Keras's RMSprop, momentum included; its mean of squares begins with `initial_accumulator`, TensorFlow 1's with 1.

    Epsilon stands inside the square root, in Keras as in TensorFlow 1.
    """

    def __init__(self, *args, initial_accumulator=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial_accumulator = initial_accumulator

    def build(self, variables):
        built = self.built
        super().build(variables)
        if self.initial_accumulator and not built:
            for accumulator in self._velocities:
                accumulator.assign(keras.ops.full(accumulator.shape, self.initial_accumulator, accumulator.dtype))


class AdamW(_Summed, keras.optimizers.AdamW):
    """Keras's AdamW. A variable that is trained from a later step on (`begun`, a step for each) counts from there.

    Adam divides its averages by how full they are. Without its own count a variable that was frozen until then would
    take steps several times too large for hundreds of steps.
    """

    begun = None

    def update_step(self, gradient, variable, learning_rate):
        step = self.begun[self._get_variable_index(variable)] if self.begun else 0
        if step:
            now = tf.cast(self.iterations, tf.float32) + 1.0
            learning_rate = learning_rate * self._fullness(now) / self._fullness(tf.maximum(now - step, 1.0))
        super().update_step(gradient, variable, learning_rate)

    def _fullness(self, steps):
        return (1.0 - self.beta_1**steps) / tf.sqrt(1.0 - self.beta_2**steps)


class Lamb(_Summed, keras.optimizers.Lamb):
    """LAMB (You et al. 2019, algorithm 2) with weight decay inside the update, as in timm.

    `w = w - lr |w| / |u| u` with Adam's step plus `decay * w` as `u`. A variable whose `decays` is None, which weight
    decay spares, takes Adam's step as it is. `begun` is as for `AdamW`.
    """

    decays = ()
    begun = None

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1.0 - self.beta_1))
        self.assign_add(square, (tf.square(gradient) - square) * (1.0 - self.beta_2))
        steps = tf.maximum(tf.cast(self.iterations, tf.float32) + 1.0 - (self.begun[index] if self.begun else 0), 1.0)
        deviation = tf.sqrt(square / (1.0 - self.beta_2**steps))
        update = mean / (1.0 - self.beta_1**steps) / (deviation + self.epsilon)
        if self.decays[index] is not None:
            update += self.decays[index] * variable
            length, wanted = tf.norm(update), tf.norm(tf.convert_to_tensor(variable))
            update *= tf.where((length > 0) & (wanted > 0), wanted / length, 1.0)
        self.assign_sub(variable, learning_rate * update)


def make_optimizer(options, schedule, variables, precision="float32", begun=None) -> keras.optimizers.Optimizer:
    """Returns the built optimizer of a recipe; call it under the strategy's scope.

    Args:
        options: the recipe's `optimizer` block.
        schedule: a `Schedule`.
        variables: the trainable variables it will update.
        precision: `"mixed_float16"` adds dynamic loss scaling.
        begun: for each variable the step from which on it is trained; `None` is 0 for all.
    """
    rates = getattr(options, "rates", {})
    if unknown := [part for part in (*options.undecayed, *rates) if not any(part in v.path for v in variables)]:
        raise ValueError(
            f"optimizer.undecayed and optimizer.rates: no weight has this part in its path. Received: {unknown[0]!r}"
        )
    ours = {"name", "weight_decay", "decay_all", "undecayed", "rates", "clip_norm", "clip_weight_decay"}
    values = options.model_dump(exclude=ours)
    values |= {"learning_rate": schedule}
    values["global_clipnorm"] = options.clip_norm
    if options.name == "adamw":
        optimizer = AdamW(**values, weight_decay=options.weight_decay)
        optimizer.begun = begun
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not decayed(v, options)])
    elif options.name == "lamb":
        optimizer = Lamb(**values)
        optimizer.begun = begun
        optimizer.decays = [options.weight_decay if decayed(v, options) else None for v in variables]
    else:
        optimizer = {"sgd": SGD, "rmsprop": RMSprop}[options.name](**values)
        optimizer.l2 = [options.weight_decay if decayed(v, options) else 0.0 for v in variables]
        optimizer.l2_clipped = options.clip_weight_decay
        optimizer.rates = rates and [math.prod(r for p, r in rates.items() if p in v.path) for v in variables]
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A recipe's learning rate as a function of the step, computed in the graph.

    Args:
        options: the recipe's `schedule` block.
        learning_rate: the whole rate.
        steps_per_epoch: what turns the block's epochs into steps.
        steps: the length of the whole run, in steps.

    `scale` is a variable for the plateau schedule (a callback lowers it), 1 for all others.
    """

    def __init__(self, options, learning_rate: float, steps_per_epoch: int, steps: int):
        self.options, self.learning_rate = options, learning_rate
        self.steps_per_epoch, self.steps = steps_per_epoch, steps
        self.scale = None
        if options.name == "plateau":
            self.scale = keras.Variable(1.0, trainable=False, dtype="float32", name="plateau_scale")

    def __call__(self, step):
        step = tf.cast(tf.convert_to_tensor(step), tf.float32)
        warm = self.options.warmup_epochs * self.steps_per_epoch
        rate = self.learning_rate * self._share(step, warm)
        if warm:
            start = self.options.warmup_start
            climbed = start + (1.0 - start) * tf.minimum((step + 1.0) / warm, 1.0)
            before = self.learning_rate * (climbed if self.options.warmup == "linear" else start)
            rate = tf.where(step < warm, before, rate)
        return rate

    def _share(self, step, warm):
        """Returns the share of the whole rate after warm-up."""
        options, name = self.options, self.options.name
        if name == "plateau":
            return tf.convert_to_tensor(self.scale.value)
        if name == "step":
            edges = tf.constant([m * self.steps_per_epoch for m in options.milestones] or [float("inf")], tf.float32)
            return options.factor ** tf.reduce_sum(tf.cast(step >= edges, tf.float32))
        if name == "exponential":
            times = step / (options.every_epochs * self.steps_per_epoch)
            return options.factor ** (tf.floor(times) if options.staircase else times)
        progress = tf.clip_by_value((step - warm) / max(self.steps - warm, 1.0), 0.0, 1.0)
        if name == "cosine":
            return options.final + (1.0 - options.final) * 0.5 * (1.0 + tf.cos(3.141592653589793 * progress))
        if name == "polynomial":
            return options.final + (1.0 - options.final) * (1.0 - progress) ** options.power
        return tf.ones_like(step)

    def get_config(self):
        return {"options": self.options.model_dump(), "learning_rate": self.learning_rate, "steps": self.steps}
