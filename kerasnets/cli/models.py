"""`kerasnets list` and `kerasnets info`: answered from the ledger, without TensorFlow."""

import dataclasses
from typing import Annotated

import typer

from kerasnets.cli.show import print_json, print_table
from kerasnets.ledger import list_models, model_info, read_ledger

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
    app.command("list", epilog="Example: kerasnets list 'resnet*' --json")(list_command)
    app.command("info", epilog="Example: kerasnets info resnet50")(info_command)


def list_command(
    pattern: Annotated[str | None, typer.Argument(help="A shell pattern such as 'resnet*'.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family, for example resnet.")] = None,
    weights: Annotated[
        bool | None, typer.Option("--weights/--no-weights", help="Only with, or without, public weights.")
    ] = None,
    json: JSON = False,
) -> None:
    """List the networks."""
    rows = read_ledger()
    names = list_models(pattern, family=family, weights=weights)
    if json:
        print_json([{"name": name} | rows[name] for name in names])
        return
    facts = [(name, rows[name]) for name in names]
    print_table(
        ("name", "paper", "input", "parameters", "multiply-adds"),
        [
            (
                name,
                f"{row['paper']['authors'].split(',')[0]} {row['paper']['year']}",
                "x".join(map(str, row["input_shape"])),
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
            )
            for name, row in facts
        ],  # fmt: skip
        right=("parameters", "multiply-adds"),
    )


def info_command(
    name: Annotated[str, typer.Argument(help="A network, for example resnet50.")], json: JSON = False
) -> None:
    """Show what is known of a network: paper, shapes, counts, departures from the paper, weights."""
    found = model_info(name)
    if json:
        print_json(dataclasses.asdict(found))
        return
    paper, prep = found.paper, found.preprocessing
    lines = [
        ("name", f"{found.name}, kerasnets.{found.python_name}"),
        ("what it is", found.summary),
        ("paper", f"{paper.authors} ({paper.year}), {paper.title!r}"),
        ("", paper.url),
        ("input", f"{' x '.join(map(str, found.input_shape))} (height, width, channels)"),
        ("classes", str(found.classes)),
        ("parameters", f"{found.parameters:,}"),
        ("multiply-adds", f"{found.multiply_adds:,} (convolutions and dense layers, one image)"),
        (
            "preprocessing",
            f"crop {prep.crop_fraction:g}, {prep.interpolation}, {prep.channel_order}, mean {list(prep.mean)}, std {list(prep.std)}",
        ),
    ]
    lines += [
        ("departs" if number == 0 else "", text) for number, text in enumerate(found.departures or ("in nothing",))
    ]
    lines += [("weights" if number == 0 else "", _checkpoint(c)) for number, c in enumerate(found.checkpoints)]
    print_table(("", ""), lines)


def _checkpoint(checkpoint: dict) -> str:
    return (
        ", ".join(f"{key} {value}" for key, value in checkpoint.items() if value)
        if isinstance(checkpoint, dict)
        else str(checkpoint)
    )
