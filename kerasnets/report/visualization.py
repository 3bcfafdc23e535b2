"""Pictures of what a network looks at: maps of photos, and the strongest images of a layer's maps, on one page each."""

import inspect
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasnets import explain
from kerasnets.data.images.files import load_files
from kerasnets.data.images.per_image import normalise
from kerasnets.data.images.suffixes import image_files
from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources import open_source
from kerasnets.explain.network import all_logits
from kerasnets.exporters.open_network import LoadedNetwork, open_network
from kerasnets.graph.cost import reach
from kerasnets.registry import did_you_mean
from kerasnets.report.page import render_page
from kerasnets.report.pictures import Map, draw_maps, draw_sheet
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
    network, files, rows = _opened(target, weights), list(image_files(images)), []
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
    _write_page(Path(output), network.name, rows)
    return rows


def visualize_units(  # noqa: PLR0913 - one argument for each choice of a user
    target,
    layer: str,
    *,
    data=None,
    weights: str | None = None,
    maps: int | Sequence[int] = 16,
    seed: int = 0,
    output: str | Path = "visualized",
) -> dict:
    """Draws the nine strongest images of some maps of a layer, each beside the projection of its activation.

    This is figure 2 of Zeiler and Fergus 2013: the patch of the image that the activation sees, and the deconvnet's
    projection of it; networks without ReLU get the gradient.

    Args:
        target, weights: a network, as `kerasnets.predict` takes it.
        layer: a layer with an output (batch, height, width, maps).
        data: a folder of image files, or batches of images as the network takes them, which are gone through twice;
            `None` takes the held-out images of a run.
        maps: numbers of maps, or how many to choose at random.
        seed: of that choice.
        output: a folder, which gets units.png and index.html.

    Returns:
        A dictionary with `"layer"`, `"maps"` (their numbers), `"method"` and `"picture"`.

    Raises:
        ValueError: for a layer without maps, or no data.
    """
    network = _opened(target, weights)
    best = explain.strongest_images(network.model, _batches(network, data), layer)
    chosen = maps if not isinstance(maps, int) else _some(len(best.values), maps, seed)
    size = reach(network.model)[layer].receptive_field
    images = _numbered(_batches(network, data), set(best.images[chosen].ravel().tolist()))
    rows, method = [], "deconvnet"
    for unit in chosen:
        used = best.images[unit] >= 0
        strongest = np.stack([images[number] for number in best.images[unit][used]])
        scale = np.divide(strongest.shape[1:3], network.model.get_layer(layer).output.shape[1:3])
        try:
            projected = getattr(explain, method)(network.model, strongest, int(unit), layer)
        except ValueError:
            method = "gradient"
            projected = explain.gradient(network.model, strongest, int(unit), layer)
        centres = (best.places[unit][used] + 0.5) * scale
        rows.append(_patches(_shown(strongest, network), projected, centres, size))
    picture = Path(output) / "units.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(picture, draw_sheet(rows, [f"map {unit}" for unit in chosen]))
    lead = f"{network.name}, {layer}: the strongest images of {len(chosen)} maps, and their projections ({method})"
    _page(Path(output), "Feature maps", lead, [("units.png", "")])
    return {"layer": layer, "maps": [int(unit) for unit in chosen], "method": method, "picture": str(picture)}


def _opened(target, weights) -> LoadedNetwork:
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
        note = "The map is empty: nothing here speaks for the class."
    elif np.ptp(flat) == 0:
        note = "The map is the same everywhere."
    return Map(title, name, flat, seconds, note)


def _batches(network: LoadedNetwork, data) -> Iterator[np.ndarray]:
    """Yields batches of images as the network takes them."""
    if data is None and network.run is None:
        raise ValueError("A network that is no run needs images: a folder, or batches. Received: data=None")
    if data is None:
        source = open_source(network.data.source, network.data.evaluation_split)
        for images, _, weight in evaluation_batches(source, network.preprocessing, network.data, batch_size=64):
            yield np.asarray(normalise(images, network.preprocessing))[np.asarray(weight) > 0]
    elif isinstance(data, str | Path):
        pixels = [image for image in load_files(list(image_files([data])), network.preprocessing)]
        readable = [image for image in pixels if not isinstance(image, Exception)]
        for start in range(0, len(readable), 64):
            yield np.asarray(normalise(np.stack(readable[start : start + 64]), network.preprocessing))
    else:
        yield from (np.asarray(batch[0] if isinstance(batch, tuple | list) else batch) for batch in data)


def _some(count: int, wanted: int, seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed).permutation(count)[:wanted].tolist())


def _numbered(batches: Iterable[np.ndarray], wanted: set[int]) -> dict[int, np.ndarray]:
    """Returns number -> image for the wanted images of some batches."""
    found, seen = {}, 0
    for batch in batches:
        found |= {number: batch[number - seen] for number in wanted if seen <= number < seen + len(batch)}
        seen += len(batch)
    return found


def _shown(images, network: LoadedNetwork) -> np.ndarray:
    """Returns normalised images as pixels of 0..1, RGB or grey."""
    numbers = network.preprocessing
    pixels = images * np.array(numbers.std, "float32") + np.array(numbers.mean, "float32")
    pixels = pixels[..., ::-1] if numbers.channel_order == "bgr" else pixels
    return np.clip(pixels / 255, 0, 1)


def _patches(images, projected, centres, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns (patch of the image, patch of the projection brought to 0..1) around each centre."""
    found, half = [], size / 2
    for image, one, (y, x) in zip(images, projected, centres, strict=True):
        rows = slice(max(0, round(y - half)), min(image.shape[0], round(y + half)))
        columns = slice(max(0, round(x - half)), min(image.shape[1], round(x + half)))
        patch = one[rows, columns]
        found.append((image[rows, columns], 0.5 + 0.5 * patch / max(np.abs(patch).max(), 1e-12)))
    return found


def _write_page(folder: Path, name: str, rows: list[dict]) -> None:
    pictures = [(Path(row["picture"]).name, Path(row["image"]).name) for row in rows if "picture" in row]
    if pictures:
        methods = ", ".join(map_["title"] for map_ in next(row["maps"] for row in rows if "maps" in row))
        _page(folder, "What the network looks at", f"{name}: {methods}", pictures)


def _page(folder: Path, heading: str, lead: str, pictures: list[tuple[str, str]]) -> None:
    sections = [{"title": title, "image": file} for file, title in pictures]
    write_atomically(folder / "index.html", render_page(f"{heading} - kerasnets", sections, heading=heading, lead=lead))
