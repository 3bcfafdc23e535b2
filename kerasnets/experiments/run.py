"""Runs an experiment: every arm and seed is an ordinary run folder, and a killed experiment goes on where it was."""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from kerasnets.experiments import measures
from kerasnets.experiments.read import dump_experiment, load_experiment, recipe_of, tasks
from kerasnets.experiments.result import EXPERIMENT, FAILURE, VOTES, ExperimentResult, gather, run_folder
from kerasnets.experiments.schema import Experiment
from kerasnets.runs.checkpoints import write_atomically

ENGINES = ("local", "ray")


def run_experiment(  # noqa: PLR0913 - one argument for each choice of a user
    experiment,
    folder=None,
    *,
    arms: Iterable[str] = (),
    seeds: int | None = None,
    overrides: Iterable[str] = (),
    resume: bool = False,
    smoke: bool = False,
    full: bool = False,
    jobs: int = 1,
    task: tuple[int, int] | None = None,
    engine: str = "local",
    progress: bool = True,
) -> ExperimentResult:
    """Runs an experiment and returns what it found.

    Args:
        experiment: the name of one that comes with the package (`"degradation"`), or the path of a file.
        folder: the folder of its runs. By default `runs/experiments/<name>`, with `_smoke` appended for a smoke run.
        arms: only these arms.
        seeds: how many seeds instead of the file's.
        overrides: strings `"a.b=c"` that change the recipe of every arm at a path.
        resume: continue the experiment in `folder`; finished runs are kept. A run that was killed goes on from its
            newest checkpoint.
        smoke: train every arm for two steps with one seed, to see that the experiment works. A smoke run in the default
            folder replaces the one before.
        full: with the changes for the paper's size.
        jobs: how many processes share the runs on this machine. A process that dies is started again.
        task: `(number, count)`: this process does the runs of one of `count` equal shares, counted from 0, in a folder
            that all of them see; `resume` is implied.
        engine: `"local"`, or `"ray"` for a Ray cluster.
        progress: whether to print a line for each finished run on standard error.

    Raises:
        ValueError, FileNotFoundError: the request is wrong: experiment, recipe, data, folder.
        RuntimeError, OSError: the work failed. A run that fails by itself, such as by a NaN loss, does not raise: the
            others go on, and the result lists it under `failed`.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` should be one of {', '.join(ENGINES)}. Received: engine={engine!r}")
    if task is not None and not 0 <= task[0] < task[1]:
        raise ValueError(f"A task should be 0 to {task[1] - 1}. Received: task {task[0]} of {task[1]}")
    found = load_experiment(experiment, arms=arms, seeds=seeds, overrides=overrides, smoke=smoke, full=full)
    chosen = Path(folder or Path("runs") / "experiments" / f"{found.name}{'_smoke' * smoke}")
    _check_arms(found, chosen, smoke)
    _claim(found, chosen, resume=resume or task is not None, replace=smoke and folder is None)
    try:
        if engine == "ray":
            from kerasnets.experiments.cluster import run_on_ray

            run_on_ray(found, chosen, smoke, progress)
        elif jobs > 1 and task is None:
            from kerasnets.experiments.workers import run_in_processes

            run_in_processes(chosen, jobs, smoke)
        else:
            run_share(found, chosen, task or (0, 1), smoke, progress)
        vote(found, chosen)
    except BaseException:
        _remove_if_nothing_ran(chosen)
        raise
    return gather(chosen)


def run_share(experiment: Experiment, folder: Path, share: tuple[int, int], smoke: bool, progress: bool) -> None:
    """Does every `share[1]`-th run, from `share[0]` on, one after the other in this process."""
    wanted = tasks(experiment)
    for number, (arm, seed) in enumerate(wanted):
        if number % share[1] == share[0]:
            measured = run_task(experiment, folder, arm, seed, smoke)
            if progress:
                print(f"{number + 1} of {len(wanted)}  {arm}, seed {seed}: {measured}", file=sys.stderr, flush=True)


def run_task(experiment: Experiment, folder: Path, arm: str, seed: int, smoke: bool) -> str:
    """Trains and measures one arm with one seed, and returns a line about it.

    A run that fails by itself leaves its error in failure.txt.
    """
    import keras

    from kerasnets.training.loop import train

    path = run_folder(folder, arm, seed)
    (path / FAILURE).unlink(missing_ok=True)
    keras.backend.clear_session()  # or the graphs of all runs would stay in memory
    try:
        run = train(recipe_of(experiment, arm, seed, smoke), path, resume=True, progress=False)
        found = measures.measure_run(run, experiment.measures)
    except RuntimeError as error:
        if hasattr(error, "exit_code") or not path.is_dir():  # stopped by a signal
            raise
        text = " ".join(str(error).split())
        write_atomically(path / FAILURE, text + "\n")
        return text
    wanted = experiment.measure
    value = found[measures.key(wanted)]
    shown = f"{value:.2%}" if measures.KINDS[wanted.name].share else f"{value:.5g}"
    return f"{measures.title(wanted)} {shown}"


def vote(experiment: Experiment, folder: Path) -> None:
    """Lets the networks of each ensemble vote, for every seed that all of them have finished."""
    from kerasnets.runs.folder import open_run

    path = folder / VOTES
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, members in experiment.ensembles.items():
        for seed in range(experiment.seeds):
            folders = [run_folder(folder, arm, seed) for arm in members]
            if str(seed) in known.get(name, {}) or not all((run / measures.FILE).is_file() for run in folders):
                continue
            from kerasnets.experiments.probes import vote_error

            known.setdefault(name, {})[str(seed)] = vote_error([open_run(run) for run in folders])
            write_atomically(path, json.dumps(known, indent=1) + "\n")


def _check_arms(experiment: Experiment, folder: Path, smoke: bool) -> None:
    """Opens the data and builds the network of every arm that has no run yet, so that a wrong arm is found at once."""
    import keras

    from kerasnets.training.prepare import build_network, make_preprocessing, open_splits

    for arm in experiment.arms:
        if (folder / arm).is_dir():
            continue
        recipe = recipe_of(experiment, arm, 0, smoke)
        try:
            preprocessing, (source, *_) = make_preprocessing(recipe), open_splits(recipe)
            with keras.StatelessScope(initialize_variables=False):
                build_network(recipe, preprocessing, len(source.classes))
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"{experiment.name}: arm {arm}: {error}") from None
    keras.backend.clear_session()


def _claim(experiment: Experiment, folder: Path, *, resume: bool, replace: bool) -> None:
    """Makes the folder of an experiment and writes the experiment into it."""
    place = os.fspath(folder)
    ours = (folder / EXPERIMENT).is_file()
    if ours and replace:
        shutil.rmtree(folder)
    elif ours and not resume:
        raise ValueError(f"{place!r} holds an experiment; --resume continues it, --output DIR writes elsewhere.")
    elif folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{place!r} exists and holds no experiment; choose another folder with --output DIR.")
    text, file = dump_experiment(experiment), folder / EXPERIMENT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (file.is_file() and file.read_text(encoding="utf-8") == text):  # other tasks may read it
            write_atomically(file, text)
    except OSError as error:
        raise OSError(f"The folder {place!r} cannot be written: {error.strerror or error}") from None


def _remove_if_nothing_ran(folder: Path) -> None:
    """Removes the folder of an experiment in which no run began, so that a wrong request writes nothing."""
    if [path.name for path in folder.iterdir()] == [EXPERIMENT]:
        (folder / EXPERIMENT).unlink()
        for empty in (folder, *folder.parents[:2]):  # runs/experiments/NAME
            if not empty.name or any(empty.iterdir()):
                break
            empty.rmdir()
