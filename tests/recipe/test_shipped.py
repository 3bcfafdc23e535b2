"""Recipes that come with the package are found by bare name, from any folder."""

from pathlib import Path

import pytest

import kerasnets.recipe.shipped as shipped
from kerasnets.recipe.read import load_recipe
from kerasnets.recipe.shipped import find_recipe, recipe_names, recipe_title

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_bare_name_is_a_recipe_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("lenet5_digits").name == "lenet5_digits"
    assert recipe_names() == sorted(path.stem for path in RECIPES.glob("*.yaml"))


def test_experiments_are_found_in_the_same_way(tmp_path, monkeypatch):
    assert "degradation" in shipped.experiment_names() and shipped.find_experiment("degradation").is_file()
    with pytest.raises(FileNotFoundError, match="No experiment at 'degradatio'. Did you mean 'degradation'"):
        shipped.find_experiment("degradatio")
    (tmp_path / "kerasnets" / "experiment_files").mkdir(parents=True)
    (tmp_path / "kerasnets" / "experiment_files" / "own.yaml").write_text("claim: ours\n")
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "kerasnets")
    assert shipped.experiment_names() == ["own"]


def test_a_file_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lenet5_digits").write_text((RECIPES / "lenet5_mnist.yaml").read_text())
    assert find_recipe("lenet5_digits") == Path("lenet5_digits")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lenet5_digit", "Did you mean 'lenet5_digits'"),
        ("recipes/lenet5_digits.yaml", "is called 'lenet5_digits'"),
        ("zzz", "kerasnets list --recipes"),
    ],
)
def test_an_unknown_recipe_gets_a_hint(name, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=hint):
        find_recipe(name)


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    (tmp_path / "kerasnets" / "recipes").mkdir(parents=True)
    (tmp_path / "kerasnets" / "recipes" / "own.yaml").write_text("# A recipe of ours, tried twice. More.\n")
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "kerasnets")
    assert recipe_names() == ["own"] and recipe_title("own") == "A recipe of ours, tried twice"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_short_title(name):
    assert 5 < len(recipe_title(name)) <= 110
