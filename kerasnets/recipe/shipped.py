"""The recipes and experiments that come with the package, found by bare name."""

import itertools
import os
import re
from pathlib import Path

from kerasnets.registry import did_you_mean

_PACKAGE = Path(__file__).parent.parent


def recipe_folder() -> Path:
    """Returns the folder of the recipes: inside an installed package, or beside it in a checkout."""
    return _folder("recipes", "recipes")


def recipe_names() -> list[str]:
    """Returns the bare names of the recipes that come with the package, sorted."""
    return _names(recipe_folder())


def experiment_names() -> list[str]:
    """Returns the bare names of the experiments that come with the package, sorted."""
    return _names(_experiment_folder())


def _experiment_folder() -> Path:
    return _folder("experiment_files", "experiments")  # `kerasnets/experiments` is the package that runs them


def _folder(installed: str, beside: str) -> Path:
    inside = _PACKAGE / installed
    return inside if inside.is_dir() else _PACKAGE.parent / beside


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def recipe_title(name: str) -> str:
    """Returns the first sentence of a recipe's header: what is trained on which data, and the paper."""
    lines = (recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    header = itertools.takewhile(lambda line: line.startswith("# "), lines)
    return re.split(r"[:.](?= |$)", " ".join(line[2:] for line in header), maxsplit=1)[0]


def find_recipe(name_or_path: str | os.PathLike) -> Path:
    """Returns the file of a recipe.

    Args:
        name_or_path: a YAML file, or the bare name of a recipe that comes with the package (`"lenet5_digits"`).
            A file of that name in the current folder goes first.

    Raises:
        FileNotFoundError: there is neither.
    """
    return _find(name_or_path, recipe_folder(), "recipe", "kerasnets list --recipes")


def find_experiment(name_or_path: str | os.PathLike) -> Path:
    """Returns the file of an experiment, by its path or by the bare name of one that comes with the package.

    Raises:
        FileNotFoundError: there is neither.
    """
    return _find(name_or_path, _experiment_folder(), "experiment", "kerasnets experiment list")


def _find(name_or_path: str | os.PathLike, folder: Path, kind: str, lister: str) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    text, names = os.fspath(name_or_path), _names(folder)
    if text in names:
        return folder / f"{text}.yaml"
    if path.stem in names:
        hint = f" The {kind} that comes with kerasnets is called {path.stem!r}."
    else:
        nearby = [str(p) for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = did_you_mean(text, [*nearby, *names]) or f" `{lister}` shows those that come with kerasnets."
    raise FileNotFoundError(f"No {kind} at {text!r}.{hint}")
