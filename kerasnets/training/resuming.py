"""What must be as it was when a run goes on: the recipe and the data; of other devices it is warned."""

import os
from pathlib import Path

from kerasnets.data.fingerprint import fingerprint, first_difference
from kerasnets.distribution.strategy import visible_devices
from kerasnets.recipe.read import differences, load_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.runs.folder import environment, read_json
from kerasnets.training.callbacks import Job


def check_same(recipe: Recipe, folder: Path) -> None:
    """Refuses to go on with a run by another recipe; the steps in a call may change, which changes no result."""
    before = load_recipe(folder / "recipe.yaml").model_copy(update={"steps_per_execution": recipe.steps_per_execution})
    if changed := differences(recipe, before):
        raise ValueError(
            f"A run goes on with the recipe that it began with; {', '.join(changed)} changed. "
            f"Put it back, or choose --overwrite or --output DIR. Received: run {os.fspath(folder)!r}"
        )


def data_facts(job: Job) -> dict:
    """Returns what the data of a run is made of, by the use that a split is put to."""
    return {use: fingerprint(source) for use, source in job.sources.items()}


def check_data(job: Job) -> list[str]:
    """Refuses to go on with a run on other data; returns a warning when it goes on on other devices."""
    before, now = read_json(job.folder / "data.json"), data_facts(job)
    for use, facts in now.items():
        if changed := first_difference(before.get(use, facts), facts):
            raise ValueError(
                f"A run goes on with the data that it began with; of its {use} images {changed}. Put it back, or "
                f"choose --overwrite or --output DIR. Received: run {os.fspath(job.folder)!r}"
            )
    former, present = read_json(job.folder / "environment.json"), environment(visible_devices())
    places = [f"{facts.get('workers', 1)} x {', '.join(facts.get('devices', ()))}" for facts in (former, present)]
    if not former or places[0] == places[1]:
        return []
    return [f"the run goes on on other devices, {places[1]} instead of {places[0]}: its last digits may differ"]
