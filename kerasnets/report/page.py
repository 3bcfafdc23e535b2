"""Render a report as one HTML page: the style sheet is inside, light or dark as the reader's system is."""

from pathlib import Path


def render_page(title: str, sections: list, *, heading: str = "", lead: str = "", tiles=()) -> str:
    """Returns an HTML page by the template `page.html.j2`, which escapes every text.

    Args:
        title: the title of the browser's window.
        sections: each a dictionary with `"title"`, perhaps `"note"`, and what it shows: `"charts"` (title, SVG),
            `"drawing"` (one SVG, as wide as the page), `"confusion"`, `"image"` (a file beside the page), `"pictures"`,
            `"table"` or `"text"`. A list of sections stands side by side.
        heading, lead: the heading of the page and the sentence below it.
        tiles: large figures, each (figure, its meaning).
    """
    import jinja2

    folder = Path(__file__).parent
    loader, style = jinja2.FileSystemLoader(folder), (folder / "report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    values = {"title": title, "sections": sections, "heading": heading, "lead": lead, "tiles": tiles}
    return environment.get_template("page.html.j2").render(style=style, zip=zip, **values)


def table(columns: list[str], rows: list[list[str]], numbers: tuple[str, ...] = (), classes=()) -> dict | None:
    """Returns a table of plain texts for `render_page`, or `None` without rows.

    On a phone, a table of more than three columns becomes a list of cards.

    Args:
        columns: the headings.
        rows: a text for each column.
        numbers: the columns that are aligned to the right.
        classes: cells with one of these texts have it as their CSS class too.
    """
    return {"columns": columns, "rows": rows, "numbers": numbers, "classes": classes} if rows else None
