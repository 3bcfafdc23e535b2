"""What a run folder holds, in a few lines, read without TensorFlow."""

import dataclasses
import json
from pathlib import Path

import yaml

from kerasnets.runs.log import read_log


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """A run at a glance; `print` shows it as a table.

    Attributes:
        path: the run folder.
        model: the name of the network.
        state: `"finished"`, `"stopped early"` or `"unfinished"`.
        parameters: the number of weights.
        epochs, epochs_planned: done, and in the recipe.
        best_epoch: the epoch (from 1) with the best value of `monitor`; `None` before the first evaluation.
        monitor: what the recipe judges epochs by, such as `"val_loss"`.
        last: the metrics of the last epoch.
        seconds: the time of all epochs.
        top1, top5, examples: the final evaluation, shares of 1; `None` for an unfinished run.
        files: name -> bytes of the files in the folder, without sub-folders.
    """

    path: Path
    model: str
    state: str
    parameters: int | None
    epochs: int
    epochs_planned: int
    best_epoch: int | None
    monitor: str
    last: dict
    seconds: float
    top1: float | None
    top5: float | None
    examples: int | None
    files: dict

    def lines(self) -> list[tuple[str, str]]:
        """Returns a title and a text for each line of the table."""
        shown = {key: value for key, value in self.last.items() if key in ("loss", "top1", "val_loss", "val_top1")}
        score = f"{100 * self.top1:.2f} % top-1 of {self.examples:,} images" if self.top1 is not None else "not yet"
        counted = f"{self.parameters:,}" if self.parameters is not None else "unknown"
        return [
            ("run", str(self.path)),
            ("model", f"{self.model}, {counted} parameters"),
            ("state", f"{self.state}, {self.epochs} of {self.epochs_planned} epochs, {self.seconds:.0f} s"),
            ("best epoch", f"{self.best_epoch} (by {self.monitor})" if self.best_epoch else "none yet"),
            ("last epoch", ", ".join(f"{key} {value:.4g}" for key, value in shown.items()) or "none yet"),
            ("evaluation", score),
            ("files", ", ".join(sorted(self.files))),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{title:<10}  {text}" for title, text in self.lines())


def summary(run) -> RunSummary:
    """Returns what a run folder holds.

    Args:
        run: the folder, or a `Run` as `train` returns it.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    path = Path(getattr(run, "path", run))
    if not (path / "recipe.yaml").is_file():
        raise FileNotFoundError(f"There is no run in {str(path)!r}: it has no recipe.yaml.")
    recipe = yaml.safe_load((path / "recipe.yaml").read_text(encoding="utf-8"))
    events = read_log(path) if (path / "log.jsonl").is_file() else []
    epochs = {event["epoch"]: event for event in events if event.get("event") == "epoch"}
    start = next((event for event in reversed(events) if event.get("event") == "start"), {})
    score = path / "evaluation.json"
    score = json.loads(score.read_text(encoding="utf-8")) if score.is_file() else {}
    end = next((event for event in reversed(events) if event.get("event") == "end"), None)
    monitor = recipe["evaluation"]["monitor"]
    judged = {number: event[monitor] for number, event in epochs.items() if event.get(monitor) is not None}
    choose = max if monitor.endswith("top1") else min
    last = epochs[max(epochs)] if epochs else {}
    return RunSummary(
        path=path,
        model=recipe["model"]["name"],
        state="unfinished" if end is None else "stopped early" if end.get("stopped_early") else "finished",
        parameters=start.get("parameters"),
        epochs=max(epochs, default=0),
        epochs_planned=recipe["epochs"],
        best_epoch=choose(judged, key=judged.get) if judged else None,
        monitor=monitor,
        last={key: value for key, value in last.items() if key not in ("event", "epoch", "step")},
        seconds=sum(event.get("seconds", 0.0) for event in epochs.values()),
        top1=score.get("top1"),
        top5=score.get("top5"),
        examples=score.get("examples"),
        files={file.name: file.stat().st_size for file in path.iterdir() if file.is_file()},
    )
