"""Configuration of the documentation site; `make docs` builds it."""

import importlib.metadata
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from draw_stages import draw  # noqa: E402
from make_families import example, families, write_pages  # noqa: E402

from kerasnets.model_index import read_model_index  # noqa: E402

write_pages(HERE / "families")
ROWS = read_model_index()
for family in families(ROWS):
    shown = example(family, ROWS)
    draw(shown, ROWS[shown]["stages"], HERE / "families" / f"{family}.svg")

project = "kerasnets"
version = release = importlib.metadata.version("kerasnets")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
myst_heading_anchors = 4
exclude_patterns = ["_build", "gallery"]
html_title = "kerasnets"
html_theme = "pydata_sphinx_theme"
html_theme_options = {"github_url": "https://github.com/kerasnets/kerasnets"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
autodoc_typehints = "none"
default_role = "code"

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["examples"],
    "within_subsection_order": "FileNameSortKey",
    "first_notebook_cell": "%pip install -q kerasnets matplotlib",
    "image_srcset": ["2x"],
    "write_computation_times": False,
}


def mark_code(app, what, name, obj, options, lines: list[str]) -> None:
    """Puts `::` before the indented examples of a docstring, so that they are read as code."""
    for number in range(len(lines) - 1, 1, -1):
        above, gap, line = lines[number - 2 : number + 1]
        if line.startswith("    ") and not gap.strip() and above.strip() and not above.startswith(" "):
            lines[number:number] = ["::", ""]


def setup(app) -> None:
    """Registers the hook above, before the one of napoleon."""
    app.connect("autodoc-process-docstring", mark_code, priority=400)
