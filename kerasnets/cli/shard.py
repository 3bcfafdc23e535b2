"""`kerasnets shard`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON
from kerasnets.cli.output import file_size, print_json, print_table, start_tensorflow

app = typer.Typer()
FOLDER = Annotated[str, typer.Argument(help="A folder with a sub-folder for each class, or for each split of them.")]
OUTPUT = Annotated[str | None, typer.Option("--output", "-o", help="The new folder; by default FOLDER_shards.")]
SIZE = Annotated[int, typer.Option("--megabytes", min=1, help="The approximate size of a shard.")]
SEED = Annotated[int, typer.Option(min=0, help="The seed of the order of the examples.")]


@app.command("shard", epilog="Example: kerasnets shard photos --output photos_shards")
def shard_command(
    folder: FOLDER, output: OUTPUT = None, megabytes: SIZE = 128, seed: SEED = 0, json: JSON = False
) -> None:
    """Write an image folder as TFRecord shards, for recipes with `kind: tfrecord`.

    The new folder holds the shards, an index and checksums.
    """
    start_tensorflow()
    import rich.console
    import rich.progress

    from kerasnets.data.shard_writer import write_shards

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
