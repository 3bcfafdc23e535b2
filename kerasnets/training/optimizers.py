"""Optimizers and learning-rate schedules of a recipe.

The optimizers are Keras's, with two differences:

* They take gradients that are already summed over the replicas. So clipping and the check for infinite values see the
  gradient of the whole batch. Keras clips the gradient of each replica; its result depends on the number of devices.
* Weight decay applies to kernels only. Variables with fewer than two axes (biases, scales and offsets of normalisation
  layers) are exempt, unless `decay_all` includes them.

SGD and RMSprop add weight decay to the gradient as L2: after clipping, as Caffe and PyTorch do, or before it with
`clip_weight_decay`, as in TF-slim, where L2 is part of the loss. AdamW and Muon decouple it. In LAMB it is part of the
update whose length the trust ratio sets.
"""

import math

import keras
import tensorflow as tf

from kerasnets.training.layer_rates import variable_rates
from kerasnets.training.private_api import SummedGradients


def is_decayed(variable, options) -> bool:
    """Whether weight decay applies to a variable.

    Args:
        options: the recipe's `optimizer` block. Kernels decay, except those in `undecayed`; `decay_all` adds the rest.
    """
    kernel = options.decay_all or len(variable.shape) > 1
    return kernel and not any(part in variable.path for part in options.undecayed)


class _Rated(SummedGradients):
    """Multiplies the learning rate of each variable by its number in `rates`; empty means 1 for all.

    `decays` has the decoupled weight decay of each variable, or `None`; empty means none.
    """

    rates = ()
    decays = ()

    def rate(self, variable, learning_rate):
        """Returns the learning rate of a variable."""
        factor = self.rates[self.index(variable)] if self.rates else 1.0
        return learning_rate if factor == 1.0 else learning_rate * factor

    def decay(self, variable, learning_rate) -> None:
        """Applies decoupled weight decay."""
        if self.decays and (number := self.decays[self.index(variable)]):
            self.assign_sub(variable, learning_rate * number * variable)


class _L2(_Rated):
    """Adds `l2 * w` to the gradients, before clipping if `l2_clipped`, else after it.

    `l2` has one number for each variable, or `None`; empty means none for all.
    """

    l2 = ()
    l2_clipped = False

    def before_clipping(self, gradients, variables):
        return self._with_l2(gradients, variables) if self.l2_clipped else gradients

    def after_clipping(self, gradients, variables):
        return gradients if self.l2_clipped else self._with_l2(gradients, variables)

    def _with_l2(self, gradients, variables):
        if not self.l2:
            return gradients
        numbers = [self.l2[self.index(v)] for v in variables]
        return [g + tf.cast(n, g.dtype) * v if n else g for g, n, v in zip(gradients, numbers, variables, strict=True)]


class SGD(_L2, keras.optimizers.SGD):
    """`v = momentum v - lr g; w = w + v`: Caffe's form, not PyTorch's."""

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = self.rate(variable, learning_rate)
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        # Keras's update in one kernel instead of five.
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self.index(variable)].value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


class RMSprop(_L2, keras.optimizers.RMSprop):
    """Keras's RMSprop, whose mean of squared gradients starts at `initial_accumulator` (TensorFlow 1 starts at 1).

    Epsilon stands inside the square root, as in TensorFlow 1.
    """

    def __init__(self, *args, initial_accumulator=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial_accumulator = initial_accumulator

    def build(self, variables):
        built = self.built
        super().build(variables)
        if self.initial_accumulator and not built:
            for accumulator in self.squares:
                accumulator.assign(keras.ops.full(accumulator.shape, self.initial_accumulator, accumulator.dtype))

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, self.rate(variable, learning_rate))


class AdamW(_Rated, keras.optimizers.Adam):
    """Keras's Adam and decoupled weight decay. The bias correction counts from `first_steps`, one for each variable.

    Adam divides its running means by how full they are. A variable that was frozen for the first thousand steps has
    empty means at step 1000; corrected with the step 1000, its updates would be several times too large for hundreds of
    steps.
    """

    first_steps = ()

    def update_step(self, gradient, variable, learning_rate):
        first = self.first_steps[self.index(variable)] if self.first_steps else 0
        learning_rate = self.rate(variable, learning_rate)
        self.decay(variable, learning_rate)
        if first:
            now = tf.cast(self.iterations, tf.float32) + 1.0
            learning_rate = learning_rate * self._fullness(now) / self._fullness(tf.maximum(now - first, 1.0))
        super().update_step(gradient, variable, learning_rate)

    def _fullness(self, steps):
        return (1.0 - self.beta_1**steps) / tf.sqrt(1.0 - self.beta_2**steps)


class Lamb(_Rated, keras.optimizers.Lamb):
    """LAMB (You et al. 2019, algorithm 2) with weight decay inside the update, as in timm.

    `w = w - lr |w| / |u| u`, where `u` is Adam's step plus `decay * w`. `decays` has one number for each variable, or
    `None` for one without weight decay: that takes Adam's step as it is. `first_steps` is as for `AdamW`.
    """

    first_steps = ()

    def update_step(self, gradient, variable, learning_rate):
        index = self.index(variable)
        mean, square = self.means[index], self.squares[index]
        self.assign_add(mean, (gradient - mean) * (1.0 - self.beta_1))
        self.assign_add(square, (tf.square(gradient) - square) * (1.0 - self.beta_2))
        first = self.first_steps[index] if self.first_steps else 0
        steps = tf.maximum(tf.cast(self.iterations, tf.float32) + 1.0 - first, 1.0)
        # How full the means are, 1 - beta**steps; a difference in float32 would lose four digits of it.
        first_full, second_full = (
            -tf.math.expm1(steps * math.log(max(beta, 1e-30))) for beta in (self.beta_1, self.beta_2)
        )
        update = mean / first_full / (tf.sqrt(square / second_full) + self.epsilon)
        if self.decays[index] is not None:
            update += self.decays[index] * variable
            length, wanted = tf.norm(update), tf.norm(tf.convert_to_tensor(variable))
            update *= tf.where((length > 0) & (wanted > 0), wanted / length, 1.0)
        self.assign_sub(variable, self.rate(variable, learning_rate) * update)


class Muon(_Rated, keras.optimizers.Muon):
    """Keras's Muon, which takes the kernels of convolutions as well (Jordan et al. 2024: a matrix of filters).

    The update of a matrix of m rows and n columns is as long as AdamW's: 0.2 sqrt(max(m, n)) times an orthogonal matrix
    (Liu et al. 2025). `adam` are the parts of the paths of variables that take Adam's step.
    """

    adam = ()

    def takes_adam(self, variable) -> bool:
        depthwise = variable.shape[-1:] == (1,)
        return len(variable.shape) < 2 or depthwise or any(part in variable.path for part in self.adam)

    def update_step(self, gradient, variable, learning_rate):
        index, learning_rate = self.index(variable), self.rate(variable, learning_rate)
        self.decay(variable, learning_rate)
        if self.adam_velocities[index] is not None:
            super().update_step(gradient, variable, learning_rate)
            return
        mean = self.momentums[index]
        self.assign(mean, self.momentum * mean + gradient)
        matrix = tf.reshape(gradient + self.momentum * mean, [-1, variable.shape[-1]])
        update = self.zeropower_via_newtonschulz5(matrix, self.ns_steps) * (0.2 * math.sqrt(max(matrix.shape)))
        self.assign_sub(variable, learning_rate * tf.reshape(update, variable.shape))


def make_optimizer(options, schedule, variables, precision="float32", first_steps=()) -> keras.optimizers.Optimizer:
    """Returns the built optimizer of a recipe. Call it under the strategy's scope.

    Args:
        options: the recipe's `optimizer` block.
        schedule: a `Schedule`.
        variables: the variables that it will update.
        precision: `"mixed_float16"` adds dynamic loss scaling.
        first_steps: for each variable, the first step that trains it; empty means 0 for all.

    Raises:
        ValueError: `undecayed` or `rates` names no variable.
    """
    named = (*options.undecayed, *options.rates)
    if unknown := [part for part in named if not any(part in v.path for v in variables)]:
        raise ValueError(
            f"optimizer.undecayed and optimizer.rates: no weight has this part in its path. Received: {unknown[0]!r}"
        )
    ours = {"name", "weight_decay", "decay_all", "undecayed", "rates", "layer_decay", "clip_norm", "clip_weight_decay"}
    values = options.model_dump(exclude=ours)
    values |= {"learning_rate": schedule, "global_clipnorm": options.clip_norm}
    decays = [options.weight_decay if is_decayed(v, options) else None for v in variables]
    if options.name in ("adamw", "lamb"):
        optimizer = {"adamw": AdamW, "lamb": Lamb}[options.name](**values)
        optimizer.first_steps = first_steps
        optimizer.decays = decays
    elif options.name == "muon":
        values |= {"adam_beta_1": values.pop("beta_1"), "adam_beta_2": values.pop("beta_2"), "weight_decay": None}
        adam = values.pop("adam")
        optimizer = Muon(**values, adam_weight_decay=None)
        optimizer.adam, optimizer.decays = adam, decays
    else:
        optimizer = {"sgd": SGD, "rmsprop": RMSprop}[options.name](**values)
        optimizer.l2 = decays
        optimizer.l2_clipped = options.clip_weight_decay
    if options.rates or options.layer_decay != 1.0:
        optimizer.rates = variable_rates(variables, options)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A recipe's learning rate as a function of the step, computed in the graph.

    Args:
        options: the recipe's `schedule` block.
        learning_rate: the rate after warm-up, before any decay.
        steps_per_epoch: converts the epochs of the block into steps.
        steps: the length of the whole run, in steps.

    Attributes:
        scale: the factor of the plateau schedule, a variable that a callback lowers; `None` for all other schedules.
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
        rate = self.learning_rate * self._factor(step, warm)
        if warm:
            start = self.options.warmup_start
            linear = start + (1.0 - start) * tf.minimum((step + 1.0) / warm, 1.0)
            before = self.learning_rate * (linear if self.options.warmup == "linear" else start)
            rate = tf.where(step < warm, before, rate)
        return rate

    def _factor(self, step, warm):
        """Returns what the rate after warm-up is multiplied with."""
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
