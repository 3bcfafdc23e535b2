"""Draws the pictures of docs/zfnet.md from a trained run of the recipe zfnet_cifar.

    python docs/make_zfnet.py runs/zfnet_cifar

Needs the images that the run was trained on. Prints what the page says about the run.
"""

import io
import sys
from pathlib import Path

import numpy as np

PICTURES = Path(__file__).parent / "_static"
WINDOW, STRIDE = 16, 4
CHANGES = {  # name of a change: (amounts, label)
    "shifted": (range(-24, 25, 4), "moved down (pixels)"),
    "scaled": (np.linspace(1, 1.8, 9), "enlarged (times)"),
    "turned": (range(0, 361, 15), "turned (degrees)"),
}


def main(run: str) -> None:
    """Draws all pictures."""
    from kerasnets import explain
    from kerasnets.exporters.open_network import open_network

    network = open_network(run)
    draw_filters(explain.first_filters(network.model))
    draw_units(run, "conv2", "conv5")
    draw_evolution(run, "conv4")
    images, names = surest(network)
    draw_occlusion(network, images[:4], names[:4])
    draw_invariance(network.model, images[:5], names[:5])
    for picture in sorted(PICTURES.glob("zfnet_*.png")):
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")


def draw_units(run: str, *layers: str) -> None:
    """Draws the strongest images of six maps of each layer: figure 2."""
    from kerasnets import visualize_units

    for layer in layers:
        found = visualize_units(run, layer, maps=6, output=Path(run) / "units")
        print(f"{layer}: maps {found['maps']}, {found['method']}")
        keep(found["picture"], layer)


def draw_evolution(run: str, layer: str) -> None:
    """Draws the development of four maps: figure 4."""
    from kerasnets import visualize_evolution

    keep(visualize_evolution(run, layer, maps=4, output=Path(run) / "evolution")["picture"], "evolution")


def surest(network) -> tuple[np.ndarray, list[str]]:
    """Returns the held-out image of each class of which the network is surest, and the classes' names.

    The surest comes first.
    """
    from scipy.special import softmax

    from kerasnets.data.images.per_image import normalise
    from kerasnets.data.pipeline import evaluation_batches
    from kerasnets.data.sources import open_source
    from kerasnets.explain.network import all_logits

    best, right, count = {}, 0, 0
    source = open_source(network.data.source, network.data.evaluation_split)
    for images, labels, weights in evaluation_batches(source, network.preprocessing, network.data, batch_size=250):
        used = np.asarray(weights) > 0
        images, labels = np.asarray(normalise(images, network.preprocessing))[used], np.asarray(labels)[used]
        logits = all_logits(network.model, images)
        right, count = right + int((logits.argmax(axis=1) == labels).sum()), count + len(labels)
        chances = softmax(logits, axis=1)[np.arange(len(labels)), labels]
        for image, label, chance in zip(images, labels.tolist(), chances.tolist(), strict=True):
            best[label] = max(best.get(label, (0, None)), (chance, image), key=lambda pair: pair[0])
    print(f"{100 * right / count:.1f} % of {count} held-out images")
    order = sorted(best, key=lambda label: -best[label][0])
    return np.stack([best[label][1] for label in order]), [network.labels[label] for label in order]


def draw_filters(filters: np.ndarray) -> None:
    """Draws the filters of the first layer."""
    figure = figure_of(6, 3.1)
    for axis, one in zip(figure.subplots(4, -(-len(filters) // 4)).ravel(), filters, strict=False):
        axis.imshow(one, interpolation="nearest")
        axis.set_axis_off()
    save(figure, "filters")


def draw_occlusion(network, images, names) -> None:
    """Draws how far the logit falls behind a grey window: figure 6."""
    from kerasnets import explain
    from kerasnets.explain.network import all_logits

    targets = [network.labels.index(name) for name in names]
    falls = explain.occlusion(network.model, images, targets, window=WINDOW, stride=STRIDE, per_pixel=True)
    logits = all_logits(network.model, images)[np.arange(len(images)), targets]
    figure = figure_of(2.1 * len(images), 4)
    axes = figure.subplots(2, len(images))
    for (above, below), image, name, fall, logit in zip(axes.T, images, names, falls, logits, strict=True):
        above.imshow(pixels(image, network))
        above.set_title(f"{name}, logit {logit:.1f}", fontsize=9)
        most = np.abs(falls).max()
        drawn = below.imshow(fall, cmap="coolwarm", vmin=-most, vmax=most)
        below.set_title(f"falls by up to {fall.max():.1f}", fontsize=9)
        for axis in (above, below):
            axis.set_axis_off()
    figure.colorbar(drawn, ax=axes[1].tolist(), shrink=0.8).ax.tick_params(labelsize=8)
    save(figure, "occlusion", colours=None)  # its colours are a scale


def draw_invariance(model, images, names) -> None:
    """Draws how features and probability change when images are moved, enlarged and turned: figure 5."""
    from kerasnets import explain

    figure = figure_of(9, 7)
    axes = figure.subplots(3, 3, sharex="col", sharey="row")
    for column, (change, (amounts, label)) in enumerate(CHANGES.items()):
        found = explain.invariance(model, images, getattr(explain, change), amounts, ["pool1", "fc7"])
        for axis, curves in zip(axes[:, column], found.values(), strict=True):
            axis.plot(list(amounts), curves, linewidth=1.2)
            axis.tick_params(labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        axes[2, column].set_xlabel(label, fontsize=9)
    for axis, label in zip(
        axes[:, 0], ("distance in pool1", "distance in fc7", "probability of the class"), strict=True
    ):
        axis.set_ylabel(label, fontsize=9)
    figure.legend(axes[0, 0].lines, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    save(figure, "invariance")


def pixels(image: np.ndarray, network) -> np.ndarray:
    """Returns a normalised RGB image as values of 0..1."""
    numbers = network.preprocessing
    return np.clip((image * np.array(numbers.std) + np.array(numbers.mean)) / 255, 0, 1)


def figure_of(width: float, height: float):
    """Returns an empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure, name: str, colours: int | None = 256) -> None:
    """Writes a figure as `keep` does."""
    file = io.BytesIO()
    figure.savefig(file, dpi=95)
    keep(file, name, colours)


def keep(picture, name: str, colours: int | None = 256) -> None:
    """Writes a picture as docs/_static/zfnet_NAME.png, small: at most 850 pixels wide, with so many colours."""
    from PIL import Image

    with Image.open(picture) as image:
        image.thumbnail((850, 1700))
        small = image.convert("RGB").quantize(colours) if colours else image.convert("RGB")
        small.save(PICTURES / f"zfnet_{name}.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
