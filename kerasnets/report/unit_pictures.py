"""Pictures of what the feature maps of a layer look for: their strongest images, at the end and in a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasnets import explain
from kerasnets.data.images.files import load_files
from kerasnets.data.images.per_image import normalise
from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources import open_source
from kerasnets.explain.units import Strongest, numbered_images, project
from kerasnets.exporters.open_network import LoadedNetwork
from kerasnets.graph.cost import reach
from kerasnets.report.pictures import draw_evolution, draw_sheet
from kerasnets.report.visualization import opened_with_weights, some_files, write_page
from kerasnets.runs.checkpoints import weights_by_epoch, write_atomically


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
        maps: numbers of maps, or how many to choose at random among those that are active in some image.
        seed: of that choice.
        output: a folder, which gets units.png and index.html.

    Returns:
        A dictionary with `"layer"`, `"maps"` (their numbers), `"method"` and `"picture"`.

    Raises:
        ValueError: for a layer without maps, or no data.
    """
    network = opened_with_weights(target, weights)
    batches = Batches(network, data)
    best = explain.strongest_images(network.model, batches, layer)
    chosen = _chosen(maps, best, seed)
    images, rows = numbered_images(batches, set(best.images[chosen].ravel().tolist())), []
    for unit in chosen:
        used = best.images[unit] >= 0
        strongest = np.stack([images[number] for number in best.images[unit][used]])
        projections, method = project(network.model, strongest, unit, layer)
        rows.append(_patches(network, layer, strongest, projections))
    lead = f"{network.name}, {layer}: the strongest images of {len(chosen)} maps, and their projections ({method})"
    picture = _write(output, "units.png", draw_sheet(rows, _titles(chosen, best)), lead)
    return {"layer": layer, "maps": chosen, "method": method, "picture": str(picture)}


def visualize_evolution(
    run,
    layer: str,
    *,
    data=None,
    maps: int | Sequence[int] = 8,
    seed: int = 0,
    output: str | Path = "visualized",
) -> dict:
    """Draws how some maps of a layer develop in a run: figure 4 of Zeiler and Fergus 2013.

    For each epoch of `checkpoint.keep_epochs` in the run's recipe: the projection of the strongest activation of each
    map, above the patch of the image that it sees.

    Args:
        run: the folder of a run.
        layer, data, maps, seed: as for `visualize_units`; the data is gone through twice for each epoch.
        output: a folder, which gets evolution.png and index.html.

    Returns:
        A dictionary with `"layer"`, `"maps"` (their numbers), `"epochs"` and `"picture"`.

    Raises:
        ValueError: for a layer without maps, or a run that kept no epochs.
    """
    network = opened_with_weights(run, None)
    states = weights_by_epoch(network.run / "checkpoints") if network.run else {}
    if not states:
        raise ValueError(
            "The run should keep the weights of some epochs; train it with `checkpoint.keep_epochs=[1, 2, 5]` in its "
            f"recipe. Received: {str(run)!r}, which has none"
        )
    batches = Batches(network, data)
    best = explain.strongest_images(network.model, batches, layer, count=1)
    chosen = _chosen(maps, best, seed)
    found = explain.evolution(network.model, states, batches, layer, chosen)
    columns = {f"epoch {epoch}": _patches(network, layer, one.images, one.projections) for epoch, one in found.items()}
    lead = f"{network.name}, {layer}: what excites {len(chosen)} maps most after some epochs of training"
    picture = _write(output, "evolution.png", draw_evolution(columns, _titles(chosen, best)), lead)
    return {"layer": layer, "maps": chosen, "epochs": list(states), "picture": str(picture)}


class Batches:
    """Batches of images as a network takes them, to go through any number of times."""

    def __init__(self, network: LoadedNetwork, data):
        if data is None and network.run is None:
            raise ValueError("A network that is no run needs images: a folder, or batches. Received: data=None")
        self.network, self.data = network, data

    def __iter__(self) -> Iterator[np.ndarray]:
        numbers = self.network.preprocessing
        if self.data is None:
            options = self.network.data
            source = open_source(options.source, options.evaluation_split)
            for images, _, weight in evaluation_batches(source, numbers, options, batch_size=64):
                yield np.asarray(normalise(images, numbers))[np.asarray(weight) > 0]
        elif isinstance(self.data, str | Path):
            pixels = load_files(some_files([self.data]), numbers)
            readable = [image for image in pixels if not isinstance(image, Exception)]
            for start in range(0, len(readable), 64):
                yield np.asarray(normalise(np.stack(readable[start : start + 64]), numbers))
        else:
            yield from (np.asarray(batch[0] if isinstance(batch, tuple | list) else batch) for batch in self.data)


def _chosen(maps: int | Sequence[int], best: Strongest, seed: int) -> list[int]:
    """Returns the numbers of the wanted maps; those that are chosen at random are active in some image."""
    if not isinstance(maps, int):
        return [int(number) for number in maps]
    active = np.flatnonzero(best.values[:, 0] > 0)
    return sorted(np.random.default_rng(seed).permutation(active)[:maps].tolist())


def _titles(chosen: list[int], best) -> list[str]:
    return [f"map {unit}" + ", never active" * bool(best.values[unit, 0] <= 0) for unit in chosen]


def _patches(network: LoadedNetwork, layer: str, images, projections) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns (patch of the image, patch of the projection, brought to 0..1) of what each activation sees.

    The patch is as large as the layer's receptive field and lies around the pixels of the projection.
    """
    sizes = {name.rpartition("/")[2]: one.receptive_field for name, one in reach(network.model).items()}
    size, found = sizes[layer], []
    for image, one in zip(_shown(images, network), projections, strict=True):
        window = tuple(_window(np.abs(one).sum(axis=(axis, 2)), size) for axis in (1, 0))
        patch = one[window]
        found.append((image[window], 0.5 + 0.5 * patch / max(np.abs(patch).max(), 1e-12)))
    return found


def _window(sums: np.ndarray, size: int) -> slice:
    """Returns the window of `size` places around those that are not zero, inside of all places."""
    used = np.flatnonzero(sums)
    first, last = (used[0], used[-1] + 1) if len(used) else (0, len(sums))
    size = min(max(size, last - first), len(sums))
    start = int(np.clip((first + last - size) // 2, 0, len(sums) - size))
    return slice(start, start + size)


def _shown(images, network: LoadedNetwork) -> np.ndarray:
    """Returns normalised images as pixels of 0..1, RGB or grey."""
    numbers = network.preprocessing
    pixels = images * np.array(numbers.std, "float32") + np.array(numbers.mean, "float32")
    pixels = pixels[..., ::-1] if numbers.channel_order == "bgr" else pixels
    return np.clip(pixels / 255, 0, 1)


def _write(folder: str | Path, name: str, png: bytes, lead: str) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder, "Feature maps", lead, [{"image": name}])
    return write_atomically(folder / name, png)
