"""Recipes read from YAML: safe loading, overrides, the cheap twin, and errors of one line that say what is allowed."""

import contextlib
import json
import os
import re
import typing
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from kerasnets.recipe.schema import Recipe
from kerasnets.registry import did_you_mean

SMOKE = {"epochs": 1, "steps_per_epoch": 2}


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-4` is a number (YAML 1.2) and a key that stands twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def load_recipe(path, overrides: Iterable[str] = (), smoke: bool = False) -> Recipe:
    """Reads a recipe.

    Args:
        path: a YAML file.
        overrides: `"a.b=c"` each, applied in order; the value is read as YAML.
        smoke: the cheap twin: two steps of at most eight examples and a tiny evaluation through the same trainer.

    Raises:
        FileNotFoundError: no such file.
        ValueError: one line that names the key, what came and what is allowed.
    """
    path = Path(path)
    if not path.is_file():
        beside = [str(p) for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise FileNotFoundError(f"No recipe at {os.fspath(path)!r}.{did_you_mean(os.fspath(path), beside)}")
    values = _parse(path.read_text(encoding="utf-8", errors="replace"), path.name)
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: a recipe is a mapping of keys to values. Received: {_short(values)}")
    for override in overrides:
        _override(values, override)
    if values.get("name") is None:
        values["name"] = path.stem
    recipe = parse_recipe(values, path.name)
    return smoke_twin(recipe) if smoke else recipe


def parse_recipe(values: dict, title: str = "recipe") -> Recipe:
    """Returns the recipe that plain `values` (dicts, lists, numbers, text) describe; `title` opens error lines."""
    try:
        # Through JSON: strict about types (no "yes" for a number) and still takes a list where a tuple is meant.
        return Recipe.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(f"{title}: {_explain(error)}") from None


def dump_recipe(recipe: Recipe) -> str:
    """Returns the resolved recipe, all defaults included, as YAML that `load_recipe` reads back to an equal one."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def smoke_twin(recipe: Recipe) -> Recipe:
    """Returns `recipe` cut down to two steps of at most eight examples, at a hundredth of the rate, and one evaluation.

    At the whole rate two steps move the weights of a deep network further than batch norm's averages, which evaluation
    uses, can follow; Inception v4's answers were infinite.
    """
    evaluation = recipe.evaluation.model_copy(update={"max_batches": 1, "batch_size": 8, "every_epochs": 1})
    batch_size = min(recipe.batch_size, 8 * recipe.gradient_accumulation)
    optimizer = recipe.optimizer.model_copy(update={"learning_rate": recipe.optimizer.learning_rate / 100})
    changes = {"batch_size": batch_size, "evaluation": evaluation, "optimizer": optimizer}
    return recipe.model_copy(update={**SMOKE, **changes})


@contextlib.contextmanager
def about(key: str):
    """A context in which the error of a wrong value names the recipe's key that the value stands in."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def differences(ours: Recipe, other: Recipe) -> list[str]:
    """Returns the paths of the keys in which two recipes differ, such as `optimizer.learning_rate`."""
    return _differences(ours.model_dump(mode="json"), other.model_dump(mode="json"), "")


def _differences(ours, other, path) -> list[str]:
    if isinstance(ours, dict) and isinstance(other, dict):
        keys = list(ours) + [key for key in other if key not in ours]
        return [d for key in keys for d in _differences(ours.get(key), other.get(key), f"{path}.{key}".lstrip("."))]
    return [] if ours == other else [path]


def _parse(text: str, title: str):
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{title}: not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}{place}") from None


def _override(values: dict, override: str) -> None:
    path, equals, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ValueError(f"An override has the form key.key=value. Received: --set {override!r}")
    for i, key in enumerate(keys[:-1]):
        if values.get(key) is None:
            values[key] = {}
        values = values[key]
        if not isinstance(values, dict):
            raise ValueError(
                f"--set {override}: {'.'.join(keys[: i + 1])} is {_short(values)}, which has no keys below it."
            )
    values[keys[-1]] = _parse(text, f"--set {override}")


def _explain(error: ValidationError) -> str:
    """Says the first of a validation's errors in one line, and how many more there are."""
    errors = error.errors(include_url=False)
    # A misspelt key also makes the right one "missing"; the misspelling is the better thing to say.
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    block, place = _walk(first["loc"])
    key = ".".join(place) or "the recipe"
    if first["type"] == "extra_forbidden":
        allowed = sorted(block.model_fields) if block else []
        text = f"unknown key {key}.{did_you_mean(place[-1], allowed)} Allowed here: {', '.join(allowed)}."
    elif first["type"] == "missing":
        text = f"{key} is missing."
    elif first["type"] == "union_tag_not_found":
        tags = [t for o in _blocks(_annotation(block, place[-1])) for t in typing.get_args(_annotation(o, "name"))]
        known = {k for o in _blocks(_annotation(block, place[-1])) for k in o.model_fields}
        odd = [k for k in first["input"] if k not in known]
        text = f"{key}.name is missing. Allowed: {', '.join(tags)}." + (f" Received: {odd[0]!r}" if odd else "")
    elif first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"].replace("'", "").split(", ")
        text = f"{key}.name is one of {', '.join(tags)}.{did_you_mean(tag, tags)} Received: {tag!r}"
    else:
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
        text = f"{key} {message}. Received: {_short(first['input'])}"
    more = len(errors) - 1
    return " ".join(text.split()) + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def _walk(location) -> tuple[type[BaseModel] | None, list[str]]:
    """Follows an error's location through the schema: the block that holds the key, and the path as the user wrote it.

    pydantic puts the chosen member of a union (its tag, or its class) into the location; the user did not write that.
    """
    block, options, place = Recipe, [], []
    for i, part in enumerate(location):
        tagged = [o for o in options if part == o.__name__ or part in typing.get_args(_annotation(o, "name"))]
        if tagged:
            block, options = tagged[0], []
            continue
        if len(options) == 1:
            block = options[0]
        if isinstance(part, str) and re.fullmatch(r"[a-z-]+\[.*\]|dict|list|tuple|str|int|float|bool|none", part):
            continue
        place.append(str(part))
        if i < len(location) - 1:
            options = _blocks(_annotation(block, part))
    return block, place


def _annotation(block, key):
    field = block.model_fields.get(key) if block else None
    return field.annotation if field else None


def _blocks(annotation) -> list[type[BaseModel]]:
    """Returns the schema blocks that an annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in typing.get_args(annotation) for block in _blocks(part)]


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
