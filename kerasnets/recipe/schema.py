"""What a recipe may say: the strict schema, one small class per block of the YAML file.

A recipe is data. Every key that decides the result stands here or, for `optimizer` and `schedule`, in
optimizer_schema.py, with its default; a key that does not is refused.
Durations are in epochs (they may be fractions), rates are for the global batch, shares are 0 to 1.
"""

from typing import Any, Literal

from pydantic import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from kerasnets.recipe.data_options import DataOptions
from kerasnets.recipe.optimizer_options import ConstantOptions, Fraction, OptimizerOptions, ScheduleOptions, Strict


class StartOptions(Strict):
    """Layers taken over from a trained network, the `.keras` file `weights`: our layer -> its layer.

    Without `layers`, every layer of the same name whose weights have the same shapes.
    """

    weights: str
    layers: dict[str, str] | None = None


class ModelOptions(Strict):
    """Which network: a registered name and its builder's own arguments (`aux_heads`, `dropout`, `weights`, ...).

    `spec` puts other numbers into columns of its row, for a narrow or shallow twin: `{filters: [24, 64, 96, 96, 64]}`.
    """

    name: str
    arguments: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    start: StartOptions | None = None


class PreprocessingOptions(Strict):
    """What to change of the row's own normalisation; `mean` and `std` are in 0-255 units, one number a channel.

    Size, crop and interpolation are keys of `data`.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[PositiveFloat, ...] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None


class StageOptions(Strict):
    """From which epoch (from 0) on the layers up to `upto` are frozen.

    `upto` is a layer, the path that the names of several begin with (`blocks.4`), `null` for all but the classifier, or
    `nothing`.
    """

    from_epoch: NonNegativeInt = 0
    upto: str | None = None


class FreezeOptions(Strict):
    """Staged unfreezing. Batch norm in the frozen part keeps its moving statistics, or goes on training (`train`)."""

    batch_norm: Literal["frozen", "train"] = "frozen"
    stages: tuple[StageOptions, ...] = (StageOptions(),)

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages):
        begins = [stage.from_epoch for stage in stages]
        if begins[:1] != [0] or sorted(set(begins)) != begins:
            raise ValueError(f"should begin with from_epoch 0 and go on with later ones, not {begins}")
        return stages


class LossOptions(Strict):
    """Cross-entropy of the softmax or of each class by itself, and the weight of each further output (`aux1: 0.3`).

    `binary_cross_entropy` asks for every class whether it is there, and takes the mean over the classes (Wightman et
    al. 2021). A target above `target_threshold` counts as 1, another as 0, so that both classes of a mixed image are
    there.
    """

    name: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.0
    target_threshold: Fraction | None = None
    weights: dict[str, NonNegativeFloat] = {}

    @model_validator(mode="after")
    def _threshold_of_binary(self):
        if self.target_threshold is not None and self.name != "binary_cross_entropy":
            raise ValueError("target_threshold is for the loss binary_cross_entropy")
        return self


class EMAOptions(Strict):
    """Moving average of all weights, evaluated and kept in their place; `warmup` lowers the momentum at the start."""

    momentum: Fraction = 0.9999
    warmup: bool = True


class EvaluationOptions(Strict):
    """When and how to evaluate, which weights to keep, when to stop early (both by `monitor`).

    The weights that are kept are those of the best epoch where the data has a validation split, else the last ones.
    """

    batch_size: PositiveInt | None = None
    every_epochs: PositiveInt = 1
    max_batches: PositiveInt | None = None
    keep: Literal["best", "last"] | None = None
    monitor: Literal["val_top1", "val_loss"] = "val_top1"
    patience: PositiveInt | None = None


class CheckpointOptions(Strict):
    """A checkpoint is written after every epoch, and also every `every_steps` steps if that is given."""

    every_steps: PositiveInt | None = None


class Recipe(Strict):
    """Everything that decides the result of a training run. `batch_size` is global: the sum over all devices.

    With `synchronized_batch_norm` batch norm takes its statistics over the whole batch, as on one device; without, each
    device takes those of its own share.

    The precision `auto` is bfloat16 where the machine multiplies it in hardware, else float32; the run writes down
    which. `onednn_bfloat16` is that of processors: the layers stay in float32, and TensorFlow's graph optimizer puts in
    the casts.
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
    loss: LossOptions = LossOptions()
    ema: EMAOptions | None = None
    evaluation: EvaluationOptions = EvaluationOptions()
    checkpoint: CheckpointOptions = CheckpointOptions()
    synchronized_batch_norm: bool = False
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16", "onednn_bfloat16", "auto"] = "float32"
    seed: NonNegativeInt = 0
    deterministic: bool = True
    steps_per_execution: PositiveInt = 1
    jit_compile: bool = False

    @property
    def keep(self) -> str:
        """Which weights are kept, `"best"` or `"last"`."""
        validated = self.data.validation_split or self.data.validation_fraction
        return self.evaluation.keep or ("best" if validated else "last")

    @property
    def chosen_on(self) -> str | None:
        """What the epoch is chosen on: `"validation"`, `"evaluation"` (what is scored), or `None`: it is not chosen."""
        if self.keep == "last" and not self.evaluation.patience:
            return None
        return "validation" if self.data.validation_split or self.data.validation_fraction else "evaluation"
