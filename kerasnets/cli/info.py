"""`kerasnets list` and `kerasnets info`: answered from the model index, without TensorFlow."""

import dataclasses
from typing import Annotated

import typer

from kerasnets.cli.output import JSON, print_json, print_table
from kerasnets.model_index import list_models, model_info, read_model_index
from kerasnets.weights.catalogue import without_weights

NAME = Annotated[str, typer.Argument(help="A network, for example resnet50.")]
PATTERN = Annotated[str | None, typer.Argument(help="A shell pattern such as 'resnet*'.")]
FAMILY = Annotated[str | None, typer.Option(help="Only this family, for example resnet.")]
WEIGHTS = Annotated[bool | None, typer.Option("--weights/--no-weights", help="Only with, or without, public weights.")]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this file to `app`."""
    app.command("list", epilog="Example: kerasnets list 'resnet*' --json")(list_command)
    app.command("info", epilog="Example: kerasnets info resnet50")(info_command)


def list_command(pattern: PATTERN = None, family: FAMILY = None, weights: WEIGHTS = None, json: JSON = False) -> None:
    """List the networks."""
    rows = read_model_index()
    names = list_models(pattern, family=family, weights=weights)
    if json:
        print_json([{"name": name} | rows[name] for name in names])
        return
    columns = ("name", "paper", "input", "parameters", "multiply-adds")
    print_table(columns, [_line(name, rows[name]) for name in names], right=columns[3:])


def _line(name: str, row: dict) -> tuple[str, ...]:
    paper = f"{row['paper']['authors'].split(',')[0]} {row['paper']['year']}"
    shape = "x".join(map(str, row["input_shape"]))
    return name, paper, shape, f"{row['parameters']:,}", f"{row['multiply_adds']:,}"


def info_command(name: NAME, json: JSON = False) -> None:
    """Show what is known of a network: paper, shapes, counts, differences from the paper, weights."""
    found = model_info(name)
    if json:
        print_json(dataclasses.asdict(found))
        return
    paper, pixels = found.paper, found.preprocessing
    lines = [
        ("name", f"{found.name}, kerasnets.{found.python_name}"),
        ("what it is", found.summary),
        ("paper", f"{paper.authors} ({paper.year}), {paper.title!r}"),
        ("", paper.url),
        ("input", f"{' x '.join(map(str, found.input_shape))} (height, width, channels)"),
        ("classes", str(found.classes)),
        ("parameters", f"{found.parameters:,}"),
        ("multiply-adds", f"{found.multiply_adds:,} (convolutions and dense layers, one image)"),
        ("image file", f"resized {pixels.interpolation}, central {pixels.crop_fraction:g} cut out"),
        ("pixels", f"{pixels.channel_order}, mean {list(pixels.mean)}, std {list(pixels.std)}"),
    ]
    lines += _paragraph("departs", found.differences or ("in nothing",))
    lines += _paragraph("weights", [_checkpoint(c) for c in found.checkpoints] or (without_weights(found.name),))
    print_table(("", ""), lines)


def _paragraph(title: str, texts) -> list[tuple[str, str]]:
    return [(title if number == 0 else "", text) for number, text in enumerate(texts)]


def _checkpoint(checkpoint) -> str:
    accuracy = [
        f"{name} {value:g} %" for name, value in (("top-1", checkpoint.top1), ("top-5", checkpoint.top5)) if value
    ]
    pixels = checkpoint.preprocessing
    seen = f"{pixels.size} pixels, {pixels.interpolation}, central {pixels.crop_fraction:g}"
    numbers = f"{pixels.channel_order}, mean {list(pixels.mean)}, std {list(pixels.std)}"
    built = ", ".join(f"{key}={value}" for key, value in checkpoint.arguments.items())
    parts = (checkpoint.source, built, ", ".join(accuracy), seen, numbers, checkpoint.license, checkpoint.address)
    return f"{checkpoint.tag}: {'; '.join(part for part in parts if part)}; {_pinned(checkpoint)}"


def _pinned(checkpoint) -> str:
    """Says how far a checkpoint's file is known before it is fetched."""
    from kerasnets.weights.download import is_full

    if is_full(checkpoint.hash):
        return checkpoint.hash
    known = f"{checkpoint.hash}... (only these digits are published" if checkpoint.hash else "(no published hash"
    moving = ", and the hub's `main` may change" if checkpoint.revision == "main" else ""
    return f"{known}{moving}: the hash is recorded at first use and checked from then on)"
