"""Pictures of what a network looks at in photos, on one page."""

import inspect
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kerasnets import explain
from kerasnets.data.images.files import load_files
from kerasnets.data.images.per_image import normalise
from kerasnets.data.images.suffixes import image_files
from kerasnets.explain.network import all_logits
from kerasnets.exporters.open_network import LoadedNetwork, open_network
from kerasnets.registry import did_you_mean
from kerasnets.report.page import render_page, table
from kerasnets.report.pictures import Map, draw_maps
from kerasnets.runs.checkpoints import write_atomically

_DEFAULT = ("grad_cam", "integrated_gradients", "occlusion")
_AT_A_LAYER = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam")


def visualize(  # noqa: PLR0913 - one argument for each choice of a user
    target,
    images: Iterable[str | Path],
    *,
    methods: Sequence[str] | None = None,
    weights: str | None = None,
    layer: str | None = None,
    classes: int | None = None,
    output: str | Path = "visualized",
) -> list[dict]:
    """Draws what a network looks at in photos, by one or more methods of `kerasnets.explain`.

    Args:
        target, weights: a network, as `kerasnets.predict` takes it; no exported file.
        images: image files and folders.
        methods: names of methods; `None` takes Grad-CAM, integrated gradients and occlusion.
        layer: the layer that class activation maps look at; `None` takes `kerasnets.explain.default_layer`.
        classes: the number of the class to explain; `None` takes the most probable one of each image.
        output: a folder, which gets a PNG file for each image, and index.html.

    Returns:
        For each image `{"image", "target", "label", "predictions", "picture", "maps"}`, or `{"image", "error"}` for a
        file that cannot be read. Each map is `{"title", "method", "seconds", "note"}`; the note says in words why a map
        could not be drawn, and is "" otherwise.

    Raises:
        ValueError: for an unknown method, layer or class, or a network without weights. Nothing was written.
    """
    methods = list(methods or _DEFAULT)
    for name in methods:
        if name not in explain.METHODS:
            raise ValueError(f"There is no such method.{did_you_mean(name, explain.METHODS)} Received: method {name!r}")
    network, files, rows = opened_with_weights(target, weights), some_files(images), []
    pixels = load_files(files, network.preprocessing)
    for number, (path, image) in enumerate(zip(files, pixels, strict=True)):
        if isinstance(image, Exception):
            rows.append({"image": str(path), "error": " ".join(str(image).split())})
            continue
        answer, maps = _explained(network, image, methods, layer, classes)
        png = draw_maps(image, answer["predictions"], maps)
        picture = Path(output) / f"{number + 1:03d}_{path.stem}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(picture, png)
        plain = [{"title": m.title, "method": m.method, "seconds": m.seconds, "note": m.note} for m in maps]
        rows.append({"image": str(path), **answer, "picture": str(picture), "maps": plain})
    _write_maps(Path(output), network.name, rows)
    return rows


def some_files(paths: Iterable[str | Path]) -> list[Path]:
    """Returns image files, and those in folders.

    Raises:
        ValueError: for folders without any.
    """
    paths = list(map(str, paths))
    if not (files := list(image_files(paths))):
        raise ValueError(f"The folders should hold at least one image file. Received: {', '.join(paths) or 'none'}")
    return files


def opened_with_weights(target, weights) -> LoadedNetwork:
    """Opens a network as `kerasnets.predict` does.

    Raises:
        ValueError: for a network whose weights are random.
    """
    network = open_network(target, weights)
    if network.random:
        raise ValueError(
            f"A model that is given by name is explained with its weights (--weights). Received: {target!r}"
        )
    return network


def _explained(network, image, methods, layer, wanted) -> tuple[dict, list[Map]]:
    """Returns the answer for one image and its maps."""
    x = np.asarray(normalise(image[None], network.preprocessing))
    logits = all_logits(network.model, x)[0]
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    order = np.argsort(-chances, kind="stable")[:5]
    aim = int(order[0]) if wanted is None else wanted
    maps = [_map(network.model, x, aim, name, layer) for name in methods]
    best = [{"index": int(i), "label": network.labels[i], "probability": float(chances[i])} for i in order]
    return {"target": aim, "label": network.labels[aim], "predictions": best}, maps


def _map(model, x, aim: int, name: str, layer: str | None) -> Map:
    """Returns one map with its title: method, layer, and the parameters that the paper leaves open."""
    method = getattr(explain, name)
    options, title = {}, name
    if name in _AT_A_LAYER:
        options["layer"] = layer or explain.default_layer(model)
        title += f" at {options['layer']}"
    sides = x.shape[1:3]
    if name == "occlusion":
        title += f", window {sides[0] // 4}, stride {sides[0] // 8}, filled with 0"
        options["per_pixel"] = True  # so that the map lies where the windows lay
    for key in ("samples", "steps", "masks"):
        if key in inspect.signature(method).parameters:
            title += f", {inspect.signature(method).parameters[key].default} {key}"
    start = time.perf_counter()
    try:
        found = method(model, x, aim, **options)[0]
    except ValueError as error:
        if layer is None and "ReLU" in str(error) or "cam needs" in str(error):
            return Map(title, name, None, 0.0, str(error))
        raise
    seconds = time.perf_counter() - start
    flat = explain.heatmap(found[None], None if found.ndim == 3 else sides)[0]
    note = ""
    if not np.any(found):
        stopped = name in ("guided", "deconvnet")
        reason = "the ReLUs let no signal through" if stopped else "nothing here speaks for the class"
        note = f"The map is empty: {reason}."
    elif np.ptp(flat) == 0:
        note = "The map is the same everywhere."
    return Map(title, name, flat, seconds, note)


def _write_maps(folder: Path, name: str, rows: list[dict]) -> None:
    sections = [
        {
            "title": f"{Path(row['image']).name}: {row['label']}",
            "image": Path(row["picture"]).name,
            "table": table(["map", "seconds"], [_described(one) for one in row["maps"]], ("seconds",)),
        }
        for row in rows
        if "picture" in row
    ]
    if sections:
        write_page(folder, "What the network looks at", f"{name}: maps of the class that each title names", sections)


def _described(one: dict) -> list[str]:
    return [f"{one['title']}. {one['note']}" if one["note"] else one["title"], f"{one['seconds']:.2f}"]


def write_page(folder: Path, heading: str, lead: str, sections: list[dict]) -> None:
    """Writes index.html with sections of `kerasnets.report.page.render_page`, whose pictures are in the folder."""
    write_atomically(folder / "index.html", render_page(f"{heading} - kerasnets", sections, heading=heading, lead=lead))
