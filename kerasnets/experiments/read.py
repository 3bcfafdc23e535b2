"""Reads experiments from YAML, and makes the recipe of each arm and seed; no TensorFlow."""

import json
import re
from collections.abc import Iterable

import yaml

from kerasnets.experiments.schema import EACH, Experiment
from kerasnets.experiments.statement import parse_statement
from kerasnets.model_index import read_model_index
from kerasnets.recipe.read import override_value, parse_options, parse_recipe, read_yaml, smoke_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.recipe.shipped import find_experiment, find_recipe
from kerasnets.registry import did_you_mean


def load_experiment(
    path,
    *,
    arms: Iterable[str] = (),
    seeds: int | None = None,
    overrides: Iterable[str] = (),
    smoke: bool = False,
    full: bool = False,
) -> Experiment:
    """Reads an experiment. Its `recipe` is then a block of values, and its arms have every change that was asked for.

    Args:
        path: a YAML file, or the bare name of an experiment that comes with the package.
        arms: only these arms; statements about others are left out.
        seeds: how many seeds instead of the file's.
        overrides: strings `"a.b=c"`, changes of the recipe for all arms.
        smoke: also what the file says under `smoke`, and one seed.
        full: also what the file says under `full`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the experiment, or the recipe of an arm, is wrong.
    """
    path = find_experiment(path)
    values = read_yaml(path, "an experiment")
    values.setdefault("name", path.stem)
    experiment = parse_options(Experiment, values, path.name, "the experiment")
    _check(experiment, path.name)
    changed = dict(experiment.arms)
    if full:
        if experiment.full is None:
            raise ValueError(f"{path.name}: --full needs a block `full`, which this experiment does not have.")
        for arm in changed:
            changed[arm] = changed[arm] | experiment.full.set | experiment.full.arms.get(arm, {})
        seeds = seeds or experiment.full.seeds
    extra = (experiment.smoke if smoke else {}) | dict(_read_override(text) for text in overrides)
    changed = {arm: keys | extra for arm, keys in changed.items()}
    chosen = _chosen(experiment, list(arms), path.name)
    update = {"arms": {arm: changed[arm] for arm in chosen}, "recipe": _base_recipe(experiment, path.name)}
    update["seeds"] = 1 if smoke else seeds or experiment.seeds
    if smoke:  # A smoke run has one epoch.
        measures = (experiment.measure, *experiment.also)
        update["measure"], *also = (measure.model_copy(update={"epoch": None}) for measure in measures)
        update["also"] = tuple(also)
    experiment = _only(experiment.model_copy(update=update))
    for arm in experiment.arms:
        recipe_of(experiment, arm, 0)
    return experiment


def recipe_of(experiment: Experiment, arm: str, seed: int, smoke: bool = False) -> Recipe:
    """Returns the recipe of one run.

    Raises:
        ValueError: the recipe is wrong, or its network is unknown.
    """
    values, title = json.loads(json.dumps(experiment.recipe, default=str)), f"{experiment.name}: arm {arm}"
    for key, value in experiment.arms[arm].items():
        override_value(values, f"{key}={json.dumps(value, default=str)}")
    recipe = parse_recipe(values | {"name": f"{experiment.name}_{arm}"}, title)
    if recipe.model.name not in (known := read_model_index()):
        hint = did_you_mean(recipe.model.name, known)
        raise ValueError(f"{title}: model.name is unknown.{hint} Received: {recipe.model.name!r}")
    recipe = recipe.model_copy(update={"seed": recipe.seed + seed})
    return smoke_recipe(recipe) if smoke else recipe


def tasks(experiment: Experiment) -> list[tuple[str, int]]:
    """Returns all runs as (arm, seed). All arms of a seed come before the next seed, so that pairs are whole early."""
    return [(arm, seed) for seed in range(experiment.seeds) for arm in experiment.arms]


def dump_experiment(experiment: Experiment) -> str:
    """Returns the experiment as YAML, which `load_experiment` reads back to an equal one."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def statements(experiment: Experiment) -> list:
    """Returns the parsed statements of `expect`."""
    return [parse_statement(text, [*experiment.arms, *experiment.ensembles]) for text in experiment.expect]


def _base_recipe(experiment: Experiment, title: str) -> dict:
    if isinstance(experiment.recipe, dict):
        return experiment.recipe
    return read_yaml(find_recipe(experiment.recipe), "a recipe")


def _read_override(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    found = {}
    override_value(found, f"x={value}" if equals else text)
    return key.strip(), found["x"]


def _chosen(experiment: Experiment, arms: list[str], title: str) -> list[str]:
    for arm in arms:
        if arm not in experiment.arms:
            hint = did_you_mean(arm, experiment.arms)
            raise ValueError(f"{title}: there is no arm {arm!r}.{hint} Allowed: {', '.join(experiment.arms)}")
    return [arm for arm in experiment.arms if arm in arms or not arms]


def _only(experiment: Experiment) -> Experiment:
    """Returns the experiment without the ensembles and statements that need an arm which it does not have."""
    ensembles = {n: members for n, members in experiment.ensembles.items() if set(members) <= set(experiment.arms)}
    names = {*experiment.arms, *ensembles}
    kept = [text for text in experiment.expect if set(re.findall(r"[a-z]\w*", text)) <= names]
    return experiment.model_copy(update={"ensembles": ensembles, "expect": tuple(kept)})


def _check(experiment: Experiment, title: str) -> None:
    """Checks what one key says about another."""
    names = [*experiment.arms, *experiment.ensembles]
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == EACH or names.count(name) > 1:
            raise ValueError(
                f"{title}: the name of an arm should be its own and have small letters, digits and _, beginning with a "
                f"letter. Received: {name!r}"
            )
    for text in experiment.expect:
        try:
            parse_statement(text, names)
        except ValueError as error:
            raise ValueError(f"{title}: expect: {error}") from None
    for key, wanted in (
        ("resources", [name for name in experiment.resources if name != EACH]),
        ("full.arms", experiment.full.arms if experiment.full else ()),
        ("ensembles", [member for members in experiment.ensembles.values() for member in members]),
    ):
        for arm in wanted:
            if arm not in experiment.arms:
                hint = did_you_mean(arm, experiment.arms)
                raise ValueError(f"{title}: {key}: there is no arm {arm!r}.{hint} Received: {arm!r}")
    _check_measures(experiment, title)


# Measure -> the option that it needs.
NEEDS = {"epochs_to": "below", "column_error": "column"}
TAKES = {"epoch": ("training_error", "training_loss"), "below": ("epochs_to",), "column": ("column_error",)}


def _check_measures(experiment: Experiment, title: str) -> None:
    for measure in experiment.measures:
        for option, takers in TAKES.items():
            given = getattr(measure, option)
            if given is None and NEEDS.get(measure.name) == option:
                raise ValueError(f"{title}: the measure {measure.name} needs `{option}`. Received: {option}=None")
            if given is not None and measure.name not in takers:
                raise ValueError(
                    f"{title}: `{option}` is only for {' and '.join(takers)}. Received: "
                    f"name={measure.name!r}, {option}={given}"
                )
    if experiment.ensembles and experiment.measure.name != "held_out_error":
        raise ValueError(
            f"{title}: ensembles are measured by held_out_error. Received: measure={experiment.measure.name!r}"
        )
