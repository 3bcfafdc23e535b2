"""`kerasnets info`: answered from the model index, a run's files or an exported file, without TensorFlow."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON
from kerasnets.cli.output import print_json, print_table
from kerasnets.model_index import model_info
from kerasnets.registry import Preprocessing
from kerasnets.weights.catalogue import without_weights

app = typer.Typer()
NAME = Annotated[
    str, typer.Argument(help="A model's name (resnet50, resnet50_v1_5.a1_in1k), a run folder, or an exported file.")
]


@app.command("info", epilog="Example: kerasnets info resnet50")
def info_command(name: NAME, json: JSON = False) -> None:
    """Describe a model: paper, shapes, counts, differences from the paper, public weights. Or a run, or a file."""
    if (Path(name) / "recipe.yaml").is_file():
        from kerasnets.runs.summary import summary

        run = summary(name)
        print_json(dataclasses.asdict(run) | {"path": str(run.path)}) if json else print_table(("", ""), run.lines())
        return
    if Path(name).exists():
        about = _exported(name)
        print_json(about) if json else print_table(("", ""), _file_lines(about))
        return
    found = model_info(name)
    if json:
        print_json(dataclasses.asdict(found))
        return
    paper = found.paper
    lines = [
        ("name", f"{found.name}, in Python kerasnets.{found.python_name}"),
        ("what it is", found.summary),
        ("paper", f"{paper.authors} ({paper.year}), {paper.title!r}"),
        ("", paper.url),
        ("input", f"{' x '.join(map(str, found.input_shape))} (height, width, channels)"),
        ("classes", str(found.classes)),
        ("parameters", f"{found.parameters:,}"),
        ("multiply-adds", f"{found.multiply_adds:,} (convolutions and dense layers, one image)"),
    ]
    lines += _paragraph("stages", [_stage(stage) for stage in found.stages])
    lines += _paragraph("preprocessing", _preprocessing(found.preprocessing))
    lines += _paragraph("differences", found.differences or ("none",))
    lines += _paragraph("weights", _weights(found))
    lines += _paragraph("to cite", found.citation.splitlines())
    print_table(("", ""), lines)


def _exported(path: str) -> dict:
    """Returns the description of an exported file, with its `path` and `bytes`."""
    from kerasnets.exporters.check import size_in_bytes
    from kerasnets.exporters.files import is_page, is_saved_model, read_about

    if not (path.endswith((".tflite", ".onnx")) or is_saved_model(path) or is_page(path)):
        raise ValueError(
            "`info` describes a model's name, a run folder, or an exported file: .tflite, .onnx, a SavedModel. "
            f"Received: {path!r}"
        )
    return read_about(path) | {"path": path, "bytes": size_in_bytes(path)}


def _file_lines(about: dict) -> list[tuple[str, str]]:
    entry, end, labels = about["input"], about["output"], about["labels"]
    shapes = [" x ".join(str(size or "any") for size in each["shape"]) for each in (entry, end)]
    lines = [
        ("file", about["path"]),
        ("model", about["model"]),
        ("form", f"{about['format']}, {about['bytes']:,} bytes"),
        ("input", f"{shapes[0]}, {entry['dtype']}: pixels {entry['pixels']}, normalisation {entry['normalisation']}"),
        ("output", f"{shapes[1]}, {end['dtype']}: {end['values']}"),
        ("labels", f"{len(labels)}: {', '.join(labels[:10])}{', ...' * (len(labels) > 10)}"),
        ("preprocessing", _preprocessing(Preprocessing.from_plain(about["preprocessing"]))[0]),
        ("SHA-256", f"{about['sha256']}; of the weights {about['weights_sha256']}"),
    ]
    oldest = about.get("oldest_runtime")
    return [*lines, ("runs from", f"TensorFlow Lite {oldest} on")] if oldest else lines


def _paragraph(title: str, texts) -> list[tuple[str, str]]:
    return [(title if number == 0 else "", text) for number, text in enumerate(texts)]


def _stage(stage) -> str:
    """Returns the line on the layers of one stride."""
    place = f"stride {stage.stride}" if stage.stride else "head"
    shape, layers = " x ".join(map(str, stage.shape)), f"{stage.layers} layer{'s' * (stage.layers != 1)}"
    return f"{place}: {shape}; {layers}, {stage.parameters:,} parameters, {stage.multiply_adds:,} multiply-adds"


def _preprocessing(pixels) -> tuple[str, str]:
    """Returns what happens to an image file, and then to its pixels."""
    size, colours = pixels.size, "grey" if len(pixels.mean) == 1 else pixels.channel_order.upper()
    square = {
        "centre_crop": f"shorter side resized to {round(size / pixels.crop_fraction)} ({pixels.interpolation}), "
        f"then the central {size} x {size} pixels",
        "stretch": f"both sides resized to {size} ({pixels.interpolation})",
        "pad": f"longer side resized to {size} ({pixels.interpolation}), then centred on black",
    }
    return (
        square[pixels.geometry],
        f"{colours} pixels 0-255, minus mean {_numbers(pixels.mean)}, divided by {_numbers(pixels.std)}",
    )


def _numbers(values) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _weights(found) -> list[str]:
    """Returns the lines on each public checkpoint; on preprocessing only what differs from the model's."""
    lines = []
    for checkpoint in found.checkpoints:
        scores = [("top-1", checkpoint.top1), ("top-5", checkpoint.top5)]
        accuracy = ", ".join(f"{name} {value:g} %" for name, value in scores if value)
        built = ", ".join(f"{key}={value}" for key, value in checkpoint.arguments.items())
        parts = (
            f"built with {built}" if built else "",
            accuracy,
            checkpoint.license and f"licence {checkpoint.license}",
        )
        lines.append(f"{checkpoint.tag} (from {checkpoint.source}): {'; '.join(filter(None, parts))}")
        own, default = _preprocessing(checkpoint.preprocessing), _preprocessing(found.preprocessing)
        lines += [line for line in own if line not in default]
        lines += [checkpoint.address, _pinned(checkpoint)]
    return lines or [without_weights(found.name)]


def _pinned(checkpoint) -> str:
    """Says how much of the hash of a checkpoint's file is known before the download."""
    from kerasnets.weights.download import is_full

    if is_full(checkpoint.hash):
        return checkpoint.hash
    known = f"{checkpoint.hash}... (only these digits are published" if checkpoint.hash else "(no published hash"
    moving = ", and the hub's `main` may change" if checkpoint.revision == "main" else ""
    return f"{known}{moving}: the hash is recorded at first use and checked from then on)"
