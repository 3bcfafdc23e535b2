"""One run while it trains: what its parts share, its state, and its `last` checkpoint."""

import dataclasses
import sys

import keras
import numpy as np

from kerasnets.distribution.strategy import cluster
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import append_log
from kerasnets.runs.writer import CheckpointWriter
from kerasnets.training.stopping import not_finite

# Loss scaling halves its scale at each step that it skips. After so many in a row no smaller scale is left to try.
INFINITE_STEPS = 30


@dataclasses.dataclass
class State:
    """Where a run is, apart from its variables. Every checkpoint holds it as JSON, so the field names are fixed."""

    step: int = 0
    judged: int = 0  # epochs that are complete, their evaluation included
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    plateau_best: float | None = None
    plateau_stale: int = 0
    stopped: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """What the functions and callbacks of one run share."""

    recipe: object
    trainer: keras.Model
    schedule: object
    source: object
    evaluation_source: object
    steps_per_epoch: int
    folder: object
    state: State
    loaded: object = None  # the report of the checkpoint that the run starts from
    validation_source: object = None  # chooses the best epoch; `None`: the evaluation split does
    callbacks: tuple = ()  # of the user's own
    writer: CheckpointWriter = dataclasses.field(default_factory=CheckpointWriter)

    @property
    def sources(self) -> dict:
        """The open splits by their use."""
        found = {"training": self.source, "validation": self.validation_source, "evaluation": self.evaluation_source}
        return {use: source for use, source in found.items() if source}

    @property
    def epoch(self) -> int:
        """The epoch (from 1) that the last step belonged to."""
        return max(self.state.step - 1, 0) // self.steps_per_epoch + 1


class JobCallback(keras.callbacks.Callback):
    """A callback that knows the run."""

    def __init__(self, job: Job):
        super().__init__()
        self.job = job
        self.state = job.state


def variables(job: Job) -> dict[str, list]:
    """Returns every variable that decides how a run continues, by group. Checkpoints name tensors by these groups."""
    groups = {
        "network": job.trainer.network.variables,
        "optimizer": job.trainer.optimizer.variables,
        "average": job.trainer.averages,
        "schedule": [job.schedule.scale] if job.schedule.scale is not None else [],
        "compression": job.trainer.constraints.variables if job.trainer.constraints else [],
        "metric": [v for tracker in job.trainer.trackers for v in tracker.variables],
    }
    return {name: group for name, group in groups.items() if group}


def check_losses(job: Job) -> None:
    """Reads whether a step had a loss that is NaN or infinite. This waits for the device.

    Raises:
        RuntimeError: it had.
    """
    trainer, step = job.trainer, job.state.step
    if bad := int(trainer.bad_step.numpy()):
        raise not_finite(job, "The loss is NaN or infinite", bad, bad)
    if trainer.scales_loss and (count := int(trainer.infinite_steps.numpy())) >= INFINITE_STEPS:
        raise not_finite(job, f"The loss was infinite in {count} steps in a row, the last of them", step, step)


def save_checkpoint(job: Job, tensors: dict | None = None) -> None:
    """Begins to write the `last` checkpoint of `tensors`, by default of the variables as they are.

    The variables are copied to the host's memory; a thread writes the file. All workers call the function.

    Raises:
        RuntimeError: a loss or a weight is NaN or infinite; the former checkpoint stays.
        OSError: the checkpoint before it could not be written.
    """
    if tensors is None:
        check_losses(job)
        job.trainer.average_statistics()
        tensors = checkpoints.read_variables(variables(job))
    step = job.state.step
    if not all(np.isfinite(value).all() for name, value in tensors.items() if name.startswith("network")):
        raise not_finite(job, "Some weights are NaN or infinite", step, step)
    if cluster().is_chief:
        job.writer.save(job.folder / "checkpoints", "last", tensors, dataclasses.asdict(job.state))


def warn(job: Job, message: str) -> None:
    """Prints a warning and adds it to the log. Of several workers, only the chief does."""
    if cluster().is_chief:
        append_log(job.folder, "warning", message=message)
        print(f"warning: {message}", file=sys.stderr)


def log_bad_images(job: Job) -> None:
    """Logs each image that could not be decoded since the last call."""
    for source in job.sources.values():
        for bad in source.bad_images.new():
            append_log(job.folder, "bad_image", split=source.split, index=bad.index, name=bad.name, reason=bad.reason)
