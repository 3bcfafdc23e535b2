"""Searches the values of a recipe's keys with Optuna. Every trial is an ordinary run folder."""

import importlib.util
import json
import os
from pathlib import Path

import keras
from pydantic import model_validator

from kerasnets.recipe.options import Options
from kerasnets.recipe.read import dump_recipe, load_recipe, override_value, parse_options, parse_recipe, read_yaml
from kerasnets.recipe.schema import Recipe
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.log import read_log

JOURNAL, BEST = "journal.log", "best.yaml"


class RangeOptions(Options):
    """The values of one key: all from `low` to `high` (`log`: evenly by their logarithm), or one of `choices`.

    Whole bounds give whole numbers.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: list | None = None

    @model_validator(mode="after")
    def _one_kind(self):
        given = [bound for bound in (self.low, self.high) if bound is not None]
        if len(given) != (0 if self.choices else 2):
            raise ValueError("should have `low` and `high`, or a list of `choices`")
        if given and not self.low < self.high:
            raise ValueError("should have `low` below `high`")
        if given and self.log and self.low <= 0:
            raise ValueError("should have `low` above 0 with `log`")
        return self


class Space(Options):
    """The keys of a recipe that a sweep varies."""

    keys: dict[str, RangeOptions]


def read_space(path) -> Space:
    """Returns the space that a YAML file describes: lines `optimizer.learning_rate: {low: 1e-4, high: 1, log: true}`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No search space at {os.fspath(path)!r}.")
    space = parse_options(Space, {"keys": read_yaml(path, "a search space")}, path.name, "the search space")
    if not space.keys:
        raise ValueError(f"{path.name}: a search space needs at least one key.")
    return space


def sweep(recipe, space, folder=None, *, trials: int = 20, overrides=(), smoke: bool = False) -> dict:
    """Trains a recipe with several values of its keys, chosen by Optuna, and writes the best recipe as best.yaml.

    A trial that is worse than the median of the others is stopped early. The same call continues a sweep that was
    stopped or killed; several processes that see the folder can share one.

    Args:
        recipe: the name or path of a recipe with a validation split, by which the trials are judged.
        space: the path of the search space, see `read_space`.
        folder: the folder of the trials, by default `runs/sweeps/<recipe's name>`.
        trials: how many trials there are in the end.
        overrides: strings `"a.b=c"` that change the recipe at a path.
        smoke: train every trial for two steps.

    Returns:
        `{"best": {key: value}, "value", "trials", "pruned", "failed", "recipe": the path of best.yaml}`.

    Raises:
        ValueError, FileNotFoundError: the recipe or the search space is wrong.
        RuntimeError: Optuna is not installed, or no trial has finished.
    """
    if importlib.util.find_spec("optuna") is None:
        raise RuntimeError("A sweep needs Optuna: pip install 'kerasnets[sweep]'")
    base, ranges = load_recipe(recipe, overrides, smoke), read_space(space)
    if not (base.data.validation_split or base.data.validation_fraction):
        raise ValueError(
            "A sweep judges by the validation split, and the recipe has none; "
            "add --set data.validation_fraction=0.2 or data.validation_split."
        )
    for choose in ("low", "high"):  # a wrong key is found before the first trial
        changed_recipe(base, {key: _end(values, choose) for key, values in ranges.keys.items()})
    folder = Path(folder or Path("runs") / "sweeps" / base.name)
    study = _open_study(folder, base)
    _requeue_killed(study, folder)
    while _count(study, "COMPLETE", "PRUNED", "FAIL") < trials:
        _one_trial(study, base, ranges, folder)
    return _finish(study, base, folder)


def changed_recipe(base: Recipe, values: dict) -> Recipe:
    """Returns the recipe with other values of some keys, given by their paths."""
    changed = base.model_dump(mode="json")
    for key, value in values.items():
        override_value(changed, f"{key}={json.dumps(value)}")
    return parse_recipe(changed, base.name)


def _end(values: RangeOptions, which: str):
    return values.choices[0 if which == "low" else -1] if values.choices else getattr(values, which)


def _open_study(folder: Path, base: Recipe):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    backend = optuna.storages.journal.JournalFileBackend(os.fspath(folder / JOURNAL))
    study = optuna.create_study(
        study_name=base.name,
        storage=optuna.storages.JournalStorage(backend),
        direction="maximize" if base.evaluation.monitor.endswith("top1") else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        load_if_exists=True,
    )
    # Another seed after each restart: the sampler would propose the first values again.
    study.sampler = optuna.samplers.TPESampler(seed=base.seed + len(study.trials))
    return study


def _requeue_killed(study, folder: Path) -> None:
    """Gives the values of trials whose process died to new trials, which go on in the same run folders."""
    import optuna

    from kerasnets.runs.folder import locked

    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        run = folder / trial.user_attrs.get("run", f"trial{trial.number}")
        if not run.is_dir():
            continue
        try:
            with locked(run):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        except ValueError:  # another process trains it
            continue
        study.enqueue_trial(trial.params, user_attrs={"run": run.name, "continues": trial.number})


def _count(study, *states: str) -> int:
    """Returns how many trials are in some states; those that another trial goes on with are not counted."""
    continued = {trial.user_attrs.get("continues") for trial in study.trials}
    return sum(trial.state.name in states and trial.number not in continued for trial in study.trials)


def _one_trial(study, base: Recipe, ranges: Space, folder: Path) -> None:
    import optuna

    from kerasnets.training.loop import train

    trial = study.ask()
    name = trial.user_attrs.get("run", f"trial{trial.number}")
    trial.set_user_attr("run", name)
    values = {key: _suggest(trial, key, options) for key, options in ranges.keys.items()}
    keras.backend.clear_session()
    watcher = Watcher(trial, base.evaluation.monitor)
    try:
        train(changed_recipe(base, values), folder / name, resume=True, progress=False, callbacks=[watcher])
    except RuntimeError as error:
        if hasattr(error, "exit_code"):  # stopped by a signal: the same call goes on
            raise
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    judged = [e[base.evaluation.monitor] for e in read_log(folder / name) if base.evaluation.monitor in e]
    best = max(judged) if study.direction.name == "MAXIMIZE" else min(judged)
    state = optuna.trial.TrialState.PRUNED if watcher.pruned else optuna.trial.TrialState.COMPLETE
    study.tell(trial, None if watcher.pruned else best, state=state)


class Watcher(keras.callbacks.Callback):
    """Tells Optuna the value of each epoch, and stops a trial that it prunes."""

    def __init__(self, trial, monitor: str):
        super().__init__()
        self.trial, self.monitor, self.pruned = trial, monitor, False

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor in (logs or {}):
            self.trial.report(float(logs[self.monitor]), epoch)
            self.pruned = self.trial.should_prune()
            self.model.stop_training = self.model.stop_training or self.pruned


def _suggest(trial, key: str, options: RangeOptions):
    if options.choices is not None:
        # Optuna takes no lists and blocks as choices, so the position is suggested.
        return options.choices[trial.suggest_int(key, 0, len(options.choices) - 1)]
    whole = isinstance(options.low, int) and isinstance(options.high, int)
    return (trial.suggest_int if whole else trial.suggest_float)(key, options.low, options.high, log=options.log)


def _finish(study, base: Recipe, folder: Path) -> dict:
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not complete:
        raise RuntimeError(f"No trial of the sweep in {os.fspath(folder)!r} has finished.")
    best = study.best_trial
    recipe = load_recipe(folder / best.user_attrs["run"] / "recipe.yaml").model_copy(update={"name": base.name})
    write_atomically(folder / BEST, dump_recipe(recipe))
    changed = {key: _value_at(recipe.model_dump(mode="json"), key) for key in best.params}
    counts = {"pruned": _count(study, "PRUNED"), "failed": _count(study, "FAIL")}
    counts["trials"] = len(complete) + counts["pruned"] + counts["failed"]
    return {"best": changed, "value": best.value, **counts, "recipe": os.fspath(folder / BEST)}


def _value_at(values: dict, key: str):
    for part in key.split("."):
        values = values[part]
    return values
