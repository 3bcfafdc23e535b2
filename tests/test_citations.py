"""Citations of papers agree with what the families say of their papers; CITATION.cff agrees with the package."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from kerasnets.cli.app import run
from kerasnets.model_index import citations, list_models, model_info

ROOT = Path(__file__).parent.parent
PAPERS = {info.paper.url: info.paper for info in map(model_info, list_models())}
ACCENTS = {r"{\'e}": "é", r"{\'a}": "á", r"{\c{c}}": "ç"}


def fields(entry: str) -> dict[str, str]:
    for accent, letter in ACCENTS.items():
        entry = entry.replace(accent, letter)
    return {key: re.sub(r"[{}$]", "", value) for key, value in re.findall(r"^  (\w+) = {(.+)},$", entry, re.M)}


def test_every_paper_has_one_citation():
    assert sorted(citations()) == sorted(PAPERS)
    keys = [re.match(r"@(inproceedings|article|misc){(\w+),\n", entry)[2] for entry in citations().values()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("url", sorted(PAPERS))
def test_citation_agrees_with_the_paper(url):
    """Title and surnames are the same; the year is that of the publication, up to two years after the preprint."""
    paper, entry = PAPERS[url], citations()[url]
    found = fields(entry)
    assert entry.endswith("\n}") and entry.count("{") == entry.count("}")
    assert found["title"].lower() == paper.title.lower()
    surnames = [author.split(", ")[0] for author in found["author"].split(" and ")]
    assert surnames == paper.authors.split(", ")
    assert 0 <= int(found["year"]) - paper.year <= 2
    assert {"booktitle", "journal", "howpublished"} & set(found)


def test_info_shows_the_citation(capsys):
    assert run(["info", "squeezenet1_0"]) == 0
    assert "@misc{iandola2016squeezenet," in capsys.readouterr().out


def test_citation_file_is_that_of_the_package():
    """`cffconvert --validate` accepts the file; its fields are those that CFF 1.2.0 requires and a few more."""
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found["cff-version"] == "1.2.0" and found["message"] and found["title"] == project["name"]
    assert (found["version"], found["license"]) == (project["version"], project["license"])
    assert [author["name"] for author in found["authors"]] == [author["name"] for author in project["authors"]]
    assert found["repository-code"] == project["urls"]["Homepage"]
