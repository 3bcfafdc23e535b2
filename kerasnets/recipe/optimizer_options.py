"""The blocks `optimizer` and `schedule` of a recipe. Durations are in epochs, learning rates for the global batch."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from kerasnets.recipe.options import Fraction, Options, PositiveShare, Share


class CommonOptimizerOptions(Options):
    """What every optimizer has. `clip_norm` bounds the global norm of the gradient of the whole batch.

    Weight decay leaves out biases and batch normalisation, and the layers whose names contain one of `undecayed`.
    `decay_all` includes biases and batch normalisation, as Caffe and Torch did.

    `rates` multiplies the learning rate of the variables whose paths contain a text: `{bias: 2.0}`,
    `{conv_offset: 0.1}`. `layer_decay` multiplies it once for each block of layers between a variable and the
    classifier, as in timm: 0.75 trains the classifier at the full rate, and the last block at three quarters of it.
    """

    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0
    decay_all: bool = False
    undecayed: tuple[str, ...] = ()
    rates: dict[str, PositiveFloat] = {}
    layer_decay: PositiveShare = 1.0
    clip_norm: PositiveFloat | None = None


class L2Options(CommonOptimizerOptions):
    """Optimizers whose weight decay is an L2 term of the gradient, added after clipping by `clip_norm`, as in Caffe.

    `clip_weight_decay` clips that term too, as in TF-slim, where L2 is part of the loss.
    """

    clip_weight_decay: bool = False


class SGDOptions(L2Options):
    """SGD as in Caffe and Keras, `v = m v - lr g; w = w + v`; weight decay is an L2 term of `g`, as in the papers."""

    name: Literal["sgd"]
    momentum: Fraction = 0.9
    nesterov: bool = False


class AdamWOptions(CommonOptimizerOptions):
    """AdamW: weight decay is decoupled, `w = w - lr * weight_decay * w`."""

    name: Literal["adamw"]
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-8


class LambOptions(CommonOptimizerOptions):
    """LAMB (You et al. 2019): Adam's step with weight decay, scaled per variable to the norm of its weights."""

    name: Literal["lamb"]
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-6


class MuonOptions(CommonOptimizerOptions):
    """Muon (Jordan et al. 2024) with the step length of AdamW (Liu et al. 2025); decoupled weight decay.

    Kernels of dense layers and convolutions take its step, a convolution as a matrix of filters. All other variables
    take Adam's, those of depthwise convolutions and those whose paths contain one of `adam` included.
    """

    name: Literal["muon"]
    momentum: Fraction = 0.95
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-8
    adam: tuple[str, ...] = ("predictions", "aux")


class RMSpropOptions(L2Options):
    """RMSprop as the Inception and EfficientNet papers use it; weight decay is an L2 term of the gradient.

    `initial_accumulator` is the first value of the mean of the squared gradients: 1 in TensorFlow 1, which those papers
    used, 0 in Keras and PyTorch.
    """

    name: Literal["rmsprop"]
    rho: Fraction = 0.9
    momentum: Fraction = 0.9
    epsilon: PositiveFloat = 1e-3
    initial_accumulator: NonNegativeFloat = 0.0


class CommonScheduleOptions(Options):
    """Warm-up, which every schedule can have: starts at `warmup_start` times the rate, linear or constant."""

    warmup_epochs: NonNegativeFloat = 0.0
    warmup_start: Share = 0.0
    warmup: Literal["linear", "constant"] = "linear"


class ConstantOptions(CommonScheduleOptions):
    """The learning rate is constant."""

    name: Literal["constant"]


class StepOptions(CommonScheduleOptions):
    """The rate is multiplied by `factor` at each milestone (epochs)."""

    name: Literal["step"]
    milestones: tuple[PositiveFloat, ...]
    factor: PositiveFloat = 0.1


class CosineOptions(CommonScheduleOptions):
    """Half a cosine from the rate after warm-up down to `final` times the rate at the end."""

    name: Literal["cosine"]
    final: Share = 0.0


class PolynomialOptions(CommonScheduleOptions):
    """`(1 - progress) ** power` after warm-up, down to `final` times the rate at the end."""

    name: Literal["polynomial"]
    power: PositiveFloat = 1.0
    final: Share = 0.0


class ExponentialOptions(CommonScheduleOptions):
    """The rate is multiplied by `factor` per `every_epochs`, in steps or smoothly, counted from the first step."""

    name: Literal["exponential"]
    factor: PositiveFloat
    every_epochs: PositiveFloat
    staircase: bool = True


class PlateauOptions(CommonScheduleOptions):
    """The rate is multiplied by `factor` when `monitor` has not improved for `patience` evaluations."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    patience: PositiveInt = 5
    monitor: Literal["loss", "val_loss", "val_top1"] = "val_loss"
    minimum: NonNegativeFloat = 0.0


OptimizerOptions = Annotated[
    SGDOptions | AdamWOptions | RMSpropOptions | LambOptions | MuonOptions, Field(discriminator="name")
]
ScheduleOptions = Annotated[
    ConstantOptions | StepOptions | CosineOptions | PolynomialOptions | ExponentialOptions | PlateauOptions,
    Field(discriminator="name"),
]
