"""What the commands print with: JSON, tables, and standard output kept clean for the answer."""

import contextlib
import json
import sys
from collections.abc import Iterable, Sequence


def print_json(value) -> None:
    """Prints `value` as JSON on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Prints a table; the columns named in `right` are aligned to the right. Piped, it is as wide as it needs to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else 400, soft_wrap=False).print(table)


def percent(share: float | None, digits: int = 2) -> str:
    """Returns a share of 1 as a percentage, `"98.61 %"`, and a dash for none."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def file_size(count: float) -> str:
    """Returns a number of bytes as people read it, `"262 kB"`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count / size:,.0f} {unit}"
    return f"{count:.0f} bytes"


def work_on_stderr():
    """Returns a context in which everything that the work prints, progress bars included, goes to standard error."""
    return contextlib.redirect_stdout(sys.stderr)
