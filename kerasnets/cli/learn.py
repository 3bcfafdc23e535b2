"""`kerasnets train` and `kerasnets evaluate`."""

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
