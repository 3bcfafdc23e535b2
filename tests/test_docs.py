"""The documentation: links resolve, the pages of the families say what the registry says, the site builds."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import backends
import fresh
import make_formats
import pytest
from make_families import docstring, families, recipes_of, write_pages

from kerasnets import _FUNCTIONS
from kerasnets.architectures import catalogue
from kerasnets.model_index import read_model_index
from kerasnets.registry import get_variant, variant_names

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def links(text: str) -> list[str]:
    """Returns the targets of a Markdown text's links, without those in code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))


def anchors(text: str) -> set[str]:
    """Returns the anchors of a Markdown text's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.fixture(scope="module")
def family_pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "families"
    write_pages(folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_link_resolves(page, family_pages):
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            assert re.fullmatch(r"(https?://[\w.-]+(:\d+)?(/\S*)?|mailto:\S+@\S+)", link), link
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        generated = ROOT / "docs" / "families"
        if target.is_relative_to(generated):  # the build writes these pages
            target = family_pages / target.relative_to(generated)
        assert target.exists(), f"{page.name} links {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name} links {link}"


def test_links_of_the_readme_to_the_repository_name_files():
    """They are absolute, because the package's page on PyPI shows them too."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"https://github\.com/kerasnets/kerasnets/blob/main/(\S+)", text)
    assert len(found) > 10 and all((ROOT / path).exists() for path in found), found


def test_the_readme_shows_what_its_lines_print():
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
    shown = [line.rpartition("  # ")[2] for line in block.splitlines() if line.startswith("print(")]
    done = fresh.run("-c", block)
    assert done.stdout.splitlines() == shown and len(shown) == 5


def test_every_variant_is_on_the_page_of_its_family(family_pages):
    for name in variant_names():
        variant, row = get_variant(name), read_model_index()[name]
        text = (family_pages / f"{variant.family}.md").read_text(encoding="utf-8")
        cells = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        shape = "x".join(map(str, variant.input_shape))
        assert cells.split(" | ")[1:4] == [shape, f"{row['parameters']:,}", f"{row['multiply_adds']:,}"]
        assert all(difference in text for difference in variant.differences)
        assert variant.paper.url in text


def test_index_links_every_family_of_the_catalogue(family_pages):
    rows, index = read_model_index(), (family_pages / "index.md").read_text(encoding="utf-8")
    assert {path.stem for path in family_pages.glob("*.md")} == {*families(rows), "index", "limits"}
    assert set(families(rows)) == {get_variant(name).family for name in variant_names()}
    assert all(f"]({family}.md)" in index and hasattr(catalogue, family) for family in families(rows))
    assert all(docstring(family) for family in families(rows))


def test_every_recipe_is_on_one_page():
    names = {name for names in _members().values() for name in recipes_of(names)}
    assert names == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}


def _members() -> dict[str, set[str]]:
    rows = read_model_index()
    return {family: {name for name in rows if rows[name]["family"] == family} for family in families(rows)}


def test_the_page_of_formats_says_what_was_measured():
    rows = json.loads(make_formats.RECORD.read_text(encoding="utf-8"))
    assert make_formats.page_text(rows) == make_formats.PAGE.read_text(encoding="utf-8")
    assert set(rows) <= set(variant_names())


def test_the_page_of_backends_says_what_was_measured():
    record = backends.read_record()
    assert backends.page_text(record) == backends.PAGE.read_text(encoding="utf-8")
    assert {*record["twins"], *record["whole"]} <= set(variant_names()) and not backends.faults(record)


def test_every_public_function_is_in_the_reference():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r":: ([\w.]+)$", text, re.M)) == {
        *(f"{module}.{name}" for name, module in _FUNCTIONS.items()),
        "kerasnets.ResNet50",
    }


def test_limits_name_the_recipes_that_were_not_run(family_pages):
    text = (family_pages / "limits.md").read_text(encoding="utf-8")
    listed = text.split("## Recipes that were not run")[1].split("\n## ")[0]
    assert "`resnet50_imagenet`" in listed and "`lenet5_digits`" not in listed


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx", reason='needs `pip install -e ".[docs]"`')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "docs", str(folder)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return folder


@pytest.mark.slow
def test_site_builds_without_a_warning(site):
    assert (site / "families" / "resnet.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1366])
def test_every_page_fits_a_phone_and_a_laptop(site, width):
    playwright = pytest.importorskip("playwright.sync_api", reason='needs `pip install -e ".[browser]"`')
    browser = shutil.which("chromium") or shutil.which("google-chrome") or pytest.skip("no Chromium on this machine")
    pages = [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts]
    wide, broken = [], []
    with playwright.sync_playwright() as run:
        window = run.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        window.set_viewport_size({"width": width, "height": 800})
        for page in pages:
            window.goto(page.as_uri())
            wide += [page.name] * window.evaluate("document.documentElement.scrollWidth > window.innerWidth")
            broken += window.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
    assert len(pages) > 40 and not wide and not broken
