"""`kerasnets export`, `kerasnets predict` and `kerasnets profile`."""

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
