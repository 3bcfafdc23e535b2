"""The schema of a recipe, one class per block of the YAML file; every key with its default, unknown keys are errors.

The block `data` is in data_options.py, `optimizer` and `schedule` in optimizer_options.py, `prune`, `share` and
`quantize` in compression_options.py. Durations are in epochs and may be fractions, learning rates are for the global
batch, shares are 0 to 1.
"""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from kerasnets.recipe.compression_options import PruneOptions, QuantizeOptions, ShareOptions
from kerasnets.recipe.data_options import DataOptions
from kerasnets.recipe.optimizer_options import ConstantOptions, OptimizerOptions, ScheduleOptions
from kerasnets.recipe.options import Arguments, Fraction, Options

PixelValue = Annotated[float, Field(ge=0.0, le=255.0)]


class StartOptions(Options):
    """Initial weights copied from a trained network, the `.keras` file `weights`.

    `layers` maps layers of the new network to layers of the trained one. Without it, every layer is copied whose name
    and weight shapes are the same in both.
    """

    weights: str
    layers: dict[str, str] | None = None


class ModelOptions(Options):
    """The network: a registered name and arguments of its builder (`aux_heads`, `dropout`, `weights`, ...).

    `spec` replaces values of the variant, for a narrower or shallower network: `{filters: [24, 64, 96, 96, 64]}`.
    """

    name: str
    arguments: Arguments = {}
    spec: Arguments = {}
    start: StartOptions | None = None


class PreprocessingOptions(Options):
    """Overrides the normalisation of the network; `mean` and `std` are in units of 0-255, one number per channel.

    Size, crop fraction and interpolation are keys of `data`.
    """

    mean: tuple[PixelValue, ...] | None = None
    std: tuple[PositiveFloat, ...] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None


class StageOptions(Options):
    """From epoch `from_epoch` on (counted from 0), the layers up to `upto` are frozen.

    `upto` is a layer, the first part of the names of several layers (`blocks.4`), `null` for all layers but the
    classifier, or `nothing`.
    """

    from_epoch: NonNegativeInt = 0
    upto: str | None = None


class FreezeOptions(Options):
    """Unfreezing in stages. Batch norm of frozen layers keeps its moving statistics, or updates them (`train`)."""

    batch_norm: Literal["frozen", "train"] = "frozen"
    stages: tuple[StageOptions, ...] = (StageOptions(),)

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages):
        epochs = [stage.from_epoch for stage in stages]
        if epochs[:1] != [0] or sorted(set(epochs)) != epochs:
            raise ValueError("should begin with from_epoch 0, and each stage should begin later than the one before")
        return stages


class LossOptions(Options):
    """Cross-entropy of the softmax or of each class on its own, and the weight of each auxiliary output (`aux1: 0.3`).

    `binary_cross_entropy` is the mean of one binary loss per class (Wightman et al. 2021). A target above
    `target_threshold` becomes 1 and any other 0, so that both classes of a mixed image are positive.

    `class_weights` weights the loss of each class: `balanced` by the number of all training examples over that of the
    class, divided by the number of classes, or one number for each class. Evaluation is not weighted.
    """

    name: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.0
    target_threshold: Fraction | None = None
    class_weights: Literal["balanced"] | tuple[NonNegativeFloat, ...] | None = None
    weights: dict[str, NonNegativeFloat] = {}

    @model_validator(mode="after")
    def _threshold_of_binary(self):
        if self.target_threshold is not None and self.name != "binary_cross_entropy":
            raise ValueError("target_threshold needs the loss binary_cross_entropy; remove it or change loss.name")
        return self


class EMAOptions(Options):
    """An exponential moving average of all weights, evaluated and saved in their place.

    `warmup` lowers the momentum in the first steps. `every_steps` updates the average after so many steps.
    """

    momentum: Fraction = 0.9999
    warmup: bool = True
    every_steps: PositiveInt = 1


class EvaluationOptions(Options):
    """When and how to evaluate, which weights to keep, and when to stop early; `monitor` decides about both.

    `keep` defaults to the weights of the best epoch when the data has a validation split, else to the last weights.
    """

    batch_size: PositiveInt | None = None
    every_epochs: PositiveInt = 1
    max_batches: PositiveInt | None = None
    keep: Literal["best", "last"] | None = None
    monitor: Literal["val_top1", "val_loss"] = "val_top1"
    patience: PositiveInt | None = None


class CheckpointOptions(Options):
    """A checkpoint is written after every epoch, and in addition every `every_steps` steps if that is given.

    The next checkpoint replaces it. The weights at the end of each of the `keep_epochs`, counted from 1, stay.
    """

    every_steps: PositiveInt | None = None
    keep_epochs: list[PositiveInt] = []


class Recipe(Options):
    """Everything that decides the result of a training run. `batch_size` is global: the sum over all devices.

    `synchronized_batch_norm`: batch norm takes its statistics over the whole batch, as on one device. Without it, each
    device uses its own share.

    The precision `auto` is `mixed_bfloat16` where the hardware multiplies bfloat16, on a processor only for networks of
    some size; else float32, also with `quantize`. The run records the choice, and keeps it when it is resumed.
    `onednn_bfloat16` is for CPUs: the layers stay float32, and TensorFlow's graph optimizer inserts the casts.
    """

    name: str | None = None
    model: ModelOptions
    data: DataOptions
    preprocessing: PreprocessingOptions = PreprocessingOptions()
    batch_size: PositiveInt
    epochs: PositiveInt
    steps_per_epoch: PositiveInt | None = None
    gradient_accumulation: PositiveInt = 1
    optimizer: OptimizerOptions
    schedule: ScheduleOptions = ConstantOptions(name="constant")
    freeze: FreezeOptions | None = None
    quantize: QuantizeOptions | None = None
    loss: LossOptions = LossOptions()
    ema: EMAOptions | None = None
    prune: PruneOptions | None = None
    share: ShareOptions | None = None
    evaluation: EvaluationOptions = EvaluationOptions()
    checkpoint: CheckpointOptions = CheckpointOptions()
    synchronized_batch_norm: bool = False
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16", "onednn_bfloat16", "auto"] = "float32"
    seed: int = Field(0, ge=0, le=2**32 - 1)  # the range of NumPy
    deterministic: bool = True
    steps_per_execution: PositiveInt = 1
    jit_compile: bool = False

    @model_validator(mode="after")
    def _compression_in_time(self):
        pruned = (self.prune and self.prune.to_epoch) or self.epochs
        if self.prune and not self.prune.from_epoch < pruned <= self.epochs:
            raise ValueError(
                "prune.from_epoch should be before prune.to_epoch, and that not after epochs. "
                f"Received: {self.prune.from_epoch}, {pruned} and {self.epochs}"
            )
        if self.share and not pruned * bool(self.prune) <= self.share.from_epoch < self.epochs:
            raise ValueError(
                "share.from_epoch should be before epochs, and not before prune.to_epoch: shared weights are no longer "
                f"pruned. Received: {self.share.from_epoch} of {self.epochs} epochs"
            )
        return self

    @model_validator(mode="after")
    def _quantised_in_float32(self):
        if self.quantize and self.precision not in ("float32", "auto"):
            raise ValueError("quantize trains in float32 only; set precision: float32")
        if self.quantize and self.quantize.from_epoch >= self.epochs:
            raise ValueError(f"quantize.from_epoch should come before the end, epoch {self.epochs}")
        return self

    @property
    def keep(self) -> str:
        """Which weights the run keeps, `"best"` or `"last"`."""
        validated = self.data.validation_split or self.data.validation_fraction
        return self.evaluation.keep or ("best" if validated else "last")

    @property
    def chosen_on(self) -> str | None:
        """The split that chooses the epoch: `"validation"`, `"evaluation"` (the scored one), or `None`: no choice."""
        if self.keep == "last" and not self.evaluation.patience:
            return None
        return "validation" if self.data.validation_split or self.data.validation_fraction else "evaluation"
