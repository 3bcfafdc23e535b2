"""`kerasnets shard`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.output import JSON, file_size, print_json, print_table, start_tensorflow

FOLDER = Annotated[str, typer.Argument(help="A folder of images: class sub-folders, or splits that hold them.")]
OUTPUT = Annotated[str | None, typer.Option("--output", "-o", help="The new folder; by default FOLDER_shards.")]
SIZE = Annotated[int, typer.Option("--megabytes", min=1, help="How large a shard becomes, roughly.")]
SEED = Annotated[int, typer.Option(min=0, help="Decides the order of the examples.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the command of this file to `app`."""
    app.command("shard", epilog="Example: kerasnets shard photos --output photos_shards")(shard_command)


def shard_command(
    folder: FOLDER, output: OUTPUT = None, megabytes: SIZE = 128, seed: SEED = 0, json: JSON = False
) -> None:
    """Write an image folder as TFRecord shards with an index and checksums, for recipes with `kind: tfrecord`."""
    start_tensorflow()
    import rich.console
    import rich.progress

    from kerasnets.data.shards import write_shards

    target = Path(output) if output else Path(folder).with_name(Path(folder).name + "_shards")
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("shards")

        def progress(split: str, done: int, shards: int) -> None:
            bar.update(task, description=split, completed=done, total=shards)

        index = write_shards(folder, target, shard_bytes=megabytes * 2**20, seed=seed, progress=progress)
    if json:
        print_json({"output": str(target)} | index)
        return
    rows = [_line(split, found) for split, found in index["splits"].items()]
    print_table(("split", "images", "shards", "size"), rows, right=("images", "shards", "size"))
    print(f"{len(index['classes']):,} classes, written to {target}")


def _line(split: str, found: dict) -> tuple[str, ...]:
    size = sum(shard["bytes"] for shard in found["shards"])
    return split, f"{found['examples']:,}", f"{len(found['shards']):,}", file_size(size)
