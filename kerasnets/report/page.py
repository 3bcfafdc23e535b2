"""The report's page around its sections: one file, style sheet inside, light or dark as the reader's system is."""

from html import escape
from pathlib import Path


def page(title: str, content: str) -> str:
    """Returns a whole HTML page; `title` is plain text, `content` is HTML."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, content: str, note: str = "") -> str:
    """Returns a titled section around HTML, or "" around nothing; `note` is plain text under the title."""
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{said}{content}\n</section>" if content else ""


def tiles(facts: list[tuple[str, str]]) -> str:
    """Returns a row of large figures from (figure, what it is); the first stands out."""
    boxes = [
        f'<div class="tile{" first" if number == 0 else ""}"><b>{escape(figure)}</b><span>{escape(said)}</span></div>'
        for number, (figure, said) in enumerate(facts)
    ]
    return f'<div class="tiles">{"".join(boxes)}</div>'


def table(
    columns: list[str], rows: list[list[str]], numbers: tuple[str, ...] = (), kinds: dict[str, str] | None = None
) -> str:
    """Returns a table of plain texts; one of more than three columns becomes a list of cards on a phone.

    Args:
        columns: the headings.
        rows: a text for each column.
        numbers: the columns that are aligned to the right.
        kinds: a cell's text -> the class that it gets (`"passed"`).
    """
    if not rows:
        return ""
    head = "".join(f"<th{_class(column, numbers)}>{escape(column)}</th>" for column in columns)
    body = ""
    for row in rows:
        cells = ""
        for column, cell in zip(columns, row, strict=True):
            kind = _class(column, numbers, (kinds or {}).get(cell, ""))
            cells += f'<td data-column="{escape(column)}"{kind}>{escape(cell)}</td>'
        body += f"<tr>{cells}</tr>"
    kind = ' class="stack"' if len(columns) > 3 else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _class(column: str, numbers: tuple[str, ...], kind: str = "") -> str:
    names = " ".join(filter(None, ("number" if column in numbers else "", kind)))
    return f' class="{names}"' if names else ""
