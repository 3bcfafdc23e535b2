"""How a run begins: it writes the opening files of its folder, or continues from the newest checkpoint there.

A run continues only with the recipe and the data that it began with. On other devices it continues with a warning.
"""

import os
from pathlib import Path

from kerasnets.data.fingerprint import fingerprint, first_difference
from kerasnets.distribution.strategy import cluster, visible_devices
from kerasnets.recipe.read import differing_keys, load_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import append_log, environment, read_json, write_opening
from kerasnets.training.advice import advise
from kerasnets.training.job import Job, variables, warn
from kerasnets.weights.load import assumption, numbers_in
from kerasnets.weights.preprocess import is_path


def begin_or_resume(job: Job, resume: bool) -> None:
    """Writes the opening files of the run folder, and restores the newest checkpoint if `resume` and there is one."""
    found = checkpoints.load_newest(job.folder / "checkpoints") if resume else None
    if cluster().is_chief:
        facts = (job.recipe, job.trainer.preprocessing, job.source.classes, visible_devices(), data_facts(job))
        write_opening(job.folder, *facts)
    if found is None:
        _log_beginning(job)
        return
    tensors, state, complaints = found
    for complaint in complaints:
        warn(job, f"{complaint}; continuing from the checkpoint before it")
    checkpoints.write_variables(variables(job), tensors)
    for key, value in state.items():
        setattr(job.state, key, value)
    append_log(job.folder, "resume", step=job.state.step)


def _log_beginning(job: Job) -> None:
    facts = {"parameters": job.trainer.network.count_params(), "train_examples": job.source.size}
    facts |= {"steps_per_epoch": job.steps_per_epoch, "epochs": job.recipe.epochs, "sharding": _sharding(job)}
    append_log(job.folder, "start", **facts)
    for message in advise(job):
        warn(job, message)
    if job.loaded:
        source = job.recipe.model.arguments["weights"]
        kept = job.loaded.kept_initial
        append_log(job.folder, "weights", source=str(source), summary=str(job.loaded), kept_initial=kept)
        if is_path(source) and numbers_in(source) is None and job.recipe.preprocessing.mean is None:
            warn(job, assumption(Path(source).name, job.trainer.preprocessing))


def _sharding(job: Job) -> str:
    """Returns, for the log, how the examples of a batch are divided."""
    workers, replicas = cluster().workers, job.trainer.distribute_strategy.num_replicas_in_sync
    size = job.recipe.batch_size
    if workers > 1:
        return f"by element: each of {workers} workers ({replicas} devices) reads its own {size // workers} of {size}"
    return f"by element: {size} examples over {replicas} device{'s' * (replicas > 1)}"


def with_recorded_precision(recipe: Recipe, folder: Path) -> Recipe:
    """Returns the recipe with the precision that `auto` became when the run in `folder` began."""
    if recipe.precision != "auto":
        return recipe
    return recipe.model_copy(update={"precision": load_recipe(folder / "recipe.yaml").precision})


def check_recipe(recipe: Recipe, folder: Path) -> None:
    """Checks that a run continues with its own recipe.

    `data.service` changes no result, and `steps_per_execution` none without `prune` and `share`.

    Raises:
        ValueError: another key differs.
    """
    before = load_recipe(folder / "recipe.yaml")
    data = before.data.model_copy(update={"service": recipe.data.service})
    before = before.model_copy(update={"data": data})
    if not recipe.prune and not recipe.share:  # they change the weights between calls
        before = before.model_copy(update={"steps_per_execution": recipe.steps_per_execution})
    if changed := differing_keys(recipe, before):
        raise ValueError(
            f"A run continues with the recipe that it began with; {', '.join(changed)} changed. "
            f"Put it back, or choose --overwrite or --output DIR. Received: run {os.fspath(folder)!r}"
        )


def data_facts(job: Job) -> dict:
    """Returns the fingerprints of the splits, by their use."""
    return {use: fingerprint(source) for use, source in job.sources.items()}


def check_data(job: Job) -> list[str]:
    """Checks that a run continues with its own data, and returns a warning (or none) if the devices differ.

    Raises:
        ValueError: the data differ.
    """
    before, now = read_json(job.folder / "data.json"), data_facts(job)
    for use, facts in now.items():
        if changed := first_difference(before.get(use, facts), facts):
            raise ValueError(
                f"A run continues with the data that it began with; of its {use} images {changed}. Put it back, or "
                f"choose --overwrite or --output DIR. Received: run {os.fspath(job.folder)!r}"
            )
    former, present = read_json(job.folder / "environment.json"), environment(visible_devices())
    places = [f"{facts.get('workers', 1)} x {', '.join(facts.get('devices', ()))}" for facts in (former, present)]
    if not former or places[0] == places[1]:
        return []
    return [f"the run continues on other devices, {places[1]} instead of {places[0]}: its last digits may differ"]
