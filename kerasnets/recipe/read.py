"""Reads recipes from YAML, with overrides and a smoke form; an error is one line that says what is allowed."""

import contextlib
import json
import re
import typing
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from kerasnets.recipe.schema import Recipe
from kerasnets.recipe.shipped import find_recipe
from kerasnets.registry import did_you_mean


class _Loader(yaml.SafeLoader):
    """Safe YAML 1.1, with `1e-4` as a number (as in YAML 1.2), and with an error for a duplicate key."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if duplicates := sorted({str(key) for key in keys if keys.count(key) > 1}):
            problem = f"the key {duplicates[0]!r} is given twice; remove one"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def load_recipe(path, overrides: Iterable[str] = (), smoke: bool = False) -> Recipe:
    """Reads a recipe.

    Args:
        path: a YAML file, or the bare name of a recipe that comes with the package: `"lenet5_digits"`.
        overrides: each `"a.b=c"`, applied in order; the value is read as YAML.
        smoke: returns the recipe cut down by `smoke_recipe`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the recipe is wrong; one line names the key, what is allowed and what was received.
    """
    path = find_recipe(path)
    values = read_yaml(path, "a recipe")
    for override in overrides:
        override_value(values, override)
    if values.get("name") is None:
        values["name"] = path.stem
    recipe = parse_recipe(values, path.name)
    return smoke_recipe(recipe) if smoke else recipe


def read_yaml(path: Path, what: str) -> dict:
    """Returns the keys and values of a YAML file; `what` names the kind of file in errors, such as `"a recipe"`."""
    values = _parse(path.read_text(encoding="utf-8", errors="replace"), path.name)
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: {what} should be lines of `key: value`. Received: {_short(values)}")
    return values


def parse_recipe(values: dict, title: str = "recipe") -> Recipe:
    """Returns the recipe with the given `values` (dicts, lists, numbers, text); errors begin with `title`."""
    return parse_options(Recipe, values, title, "the recipe")


def parse_options(block: type[BaseModel], values: dict, title: str, whole: str) -> BaseModel:
    """Returns the options of the class `block` with the given values.

    Raises:
        ValueError: one line that begins with `title`; `whole` stands for the key where no key is wrong.
    """
    try:
        # Through JSON, because pydantic is then strict about types (no "1" for a number) and takes a list for a tuple.
        return block.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(f"{title}: {_explain(error, block, whole)}") from None


def dump_recipe(recipe: Recipe) -> str:
    """Returns the recipe with all defaults as YAML, which `load_recipe` reads back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def smoke_recipe(recipe: Recipe) -> Recipe:
    """Returns `recipe` cut down to two steps of at most eight examples and an evaluation of one batch.

    The learning rate is a hundredth. With the full rate, two steps move the weights of a deep network so far that the
    moving averages of batch norm, which evaluation uses, do not fit them: the outputs of Inception v4 were infinite.
    """
    evaluation = recipe.evaluation.model_copy(update={"max_batches": 1, "batch_size": 8, "every_epochs": 1})
    batch_size = min(recipe.batch_size, 8 * recipe.gradient_accumulation)
    optimizer = recipe.optimizer.model_copy(update={"learning_rate": recipe.optimizer.learning_rate / 100})
    changes = {"batch_size": batch_size, "evaluation": evaluation, "optimizer": optimizer}
    if recipe.prune:  # the first step prunes, and then the weights are shared
        changes["prune"] = recipe.prune.model_copy(update={"from_epoch": 0.0, "to_epoch": 0.5})
    if recipe.share:
        changes["share"] = recipe.share.model_copy(update={"from_epoch": 0.5})
    if recipe.quantize:
        stages = {"from_epoch": 0, "freeze_batch_norm_from": None}
        changes["quantize"] = recipe.quantize.model_copy(update=stages)
    return recipe.model_copy(update=changes | {"epochs": 1, "steps_per_epoch": 2})


@contextlib.contextmanager
def named_key(key: str):
    """Puts the recipe's `key` before the text of a ValueError that is raised inside the context."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def differing_keys(ours: Recipe, other: Recipe) -> list[str]:
    """Returns the keys in which two recipes differ, as paths such as `optimizer.learning_rate`."""
    return _differing(ours.model_dump(mode="json"), other.model_dump(mode="json"), "")


def _differing(ours, other, path) -> list[str]:
    if isinstance(ours, dict) and isinstance(other, dict):
        keys = list(ours) + [key for key in other if key not in ours]
        return [d for key in keys for d in _differing(ours.get(key), other.get(key), f"{path}.{key}".lstrip("."))]
    return [] if ours == other else [path]


def _parse(text: str, title: str):
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{title}: not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}{place}") from None


def override_value(values: dict, override: str) -> None:
    """Changes `values` at a path; `override` is `\"a.b=c\"`, whose value is read as YAML."""
    path, equals, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ValueError(f"An override should have the form key.key=value. Received: --set {override!r}")
    for i, key in enumerate(keys[:-1]):
        if values.get(key) is None:
            values[key] = {}
        values = values[key]
        if not isinstance(values, dict):
            raise ValueError(
                f"--set {override}: {'.'.join(keys[: i + 1])} is {_short(values)}, which has no keys of its own."
            )
    values[keys[-1]] = _parse(text, f"--set {override}")


def _explain(error: ValidationError, root: type[BaseModel], whole: str) -> str:
    """Returns the first error of a validation in one line, and how many more there are."""
    errors = error.errors(include_url=False)
    # A misspelt key also makes the right key "missing"; only the misspelling is worth saying.
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    block, place = _walk(first["loc"], root)
    key = ".".join(place) or whole
    if first["type"] == "extra_forbidden":
        allowed = sorted(block.model_fields) if block else []
        text = f"unknown key {key}.{did_you_mean(place[-1], allowed)} Allowed here: {', '.join(allowed)}."
    elif first["type"] == "missing":
        text = f"{key} is missing; it has no default."
    elif first["type"] == "union_tag_not_found":
        tags = [t for o in _blocks(_annotation(block, place[-1])) for t in typing.get_args(_annotation(o, "name"))]
        known = {k for o in _blocks(_annotation(block, place[-1])) for k in o.model_fields}
        odd = [k for k in first["input"] if k not in known]
        text = f"{key}.name is missing. Allowed: {', '.join(tags)}." + (f" Received: {odd[0]!r}" if odd else "")
    elif first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], first["ctx"]["expected_tags"].replace("'", "").split(", ")
        text = f"{key}.name should be one of {', '.join(tags)}.{did_you_mean(tag, tags)} Received: {tag!r}"
    else:
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
        message = message.replace("a valid dictionary", "an object").replace("an object", "a block of `key: value`")
        text = f"{key} {message}. Received: {_short(first['input'])}"
    more = len(errors) - 1
    return " ".join(text.split()) + (f" (and {more} more problem{'s' * (more > 1)})" if more else "")


def _walk(location, root: type[BaseModel]) -> tuple[type[BaseModel] | None, list[str]]:
    """Returns the block that holds the key of an error, and the path of the key as the user wrote it.

    The location also has the chosen member of each union (its tag or its class), which the user did not write.
    """
    block, options, place = root, [], []
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
    """Returns the classes of blocks that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in typing.get_args(annotation) for block in _blocks(part)]


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
