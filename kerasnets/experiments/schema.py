"""The schema of an experiment, one class per block of the YAML file; unknown keys are errors."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from kerasnets.recipe.options import Arguments, Options, PositiveShare

MeasureName = Literal[
    "held_out_error", "held_out_loss", "training_error", "training_loss", "fitted_error", "epochs_to", "seconds",
    "parameters", "multiply_adds", "lesion_error", "column_error", "receptive_field", "sharpness",
]  # fmt: skip
Text = Annotated[str, Field(min_length=1)]
# The name that stands for all arms in `resources`.
EACH = "each"


class PaperOptions(Options):
    """Who claims it: authors, year and title; section and figure; the paper's own figures, if it has any."""

    source: Text
    place: Text
    figures: str | None = None


class MeasureOptions(Options):
    """A number of a finished run.

    `epoch`: of `training_error` and `training_loss`, the epoch (from 1) instead of the last one. `below`: the training
    error that `epochs_to` waits for. `column`: the column of a FractalNet, 1 (shallow) to the deepest.
    """

    name: MeasureName
    epoch: PositiveInt | None = None
    below: PositiveShare | None = None
    column: PositiveInt | None = None


class ChartOptions(Options):
    """The picture of the result.

    `bars`: the measure of each arm with its interval. `curves`: `of` by epoch, the mean over seeds and their range.
    `scatter`: the measure over the measure `x`.
    """

    kind: Literal["bars", "curves", "scatter"] = "bars"
    of: Literal["training_error", "training_loss", "held_out_error", "held_out_loss"] = "training_error"
    x: MeasureName = "parameters"


class ResourceOptions(Options):
    """What a run needs of a Ray cluster."""

    cpus: PositiveFloat = 1.0
    gpus: Annotated[float, Field(ge=0.0)] = 0.0


class FullOptions(Options):
    """What to change for the paper's size: `note` says it, `--full` does what `set`, `arms` and `seeds` say."""

    note: Text
    set: Arguments = {}
    arms: dict[str, Arguments] = {}
    seeds: PositiveInt | None = None


class Experiment(Options):
    """A claim, and the runs that test it.

    `arms` maps a name to the keys of the recipe that this arm changes: `{model.name: plain20_cifar, epochs: 8}`.
    `ensembles` maps a name to several arms, whose networks vote with the mean of their probabilities. `seeds` is the
    number of runs of each arm; they have the seeds 0, 1, ... added to the recipe's. `expect` holds statements between
    arms, such as `plain56 > plain20`. `also` are further measures that the table shows. `smoke` are changes of the
    recipe for `--smoke`, besides those that every smoke run has.
    """

    name: str | None = None
    chapter: Text
    claim: Text
    paper: PaperOptions
    differs: Text
    recipe: str | dict[str, Any]
    arms: dict[str, Arguments] = Field(min_length=1)
    ensembles: dict[str, tuple[str, ...]] = {}
    seeds: PositiveInt = 3
    measure: MeasureOptions
    also: tuple[MeasureOptions, ...] = ()
    expect: tuple[Text, ...]
    chart: ChartOptions = ChartOptions()
    smoke: Arguments = {}
    full: FullOptions | None = None
    resources: dict[str, ResourceOptions] = {}

    @field_validator("measure", mode="before")
    @classmethod
    def _named(cls, value):
        return _with_name(value)

    @field_validator("also", mode="before")
    @classmethod
    def _all_named(cls, values):
        # Behind a validator of our own, strict reading takes a tuple and no list.
        return tuple(map(_with_name, values)) if isinstance(values, list) else values

    @field_validator("expect", mode="before")
    @classmethod
    def _in_a_list(cls, value):
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @field_validator("chart", mode="before")
    @classmethod
    def _of_a_kind(cls, value):
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("arms", mode="before")
    @classmethod
    def _not_none(cls, arms):
        return {name: {} if keys is None else keys for name, keys in arms.items()} if isinstance(arms, dict) else arms

    @property
    def measures(self) -> tuple[MeasureOptions, ...]:
        """All measures that the report needs, the judged one first."""
        across = (MeasureOptions(name=self.chart.x),) if self.chart.kind == "scatter" else ()
        return tuple(dict.fromkeys((self.measure, *self.also, *across)))


def _with_name(value):
    return {"name": value} if isinstance(value, str) else value
