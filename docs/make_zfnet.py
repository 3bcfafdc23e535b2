"""Draws the pictures of docs/zfnet.md from a run of recipes/zfnet_cifar.yaml.

    kerasnets train recipes/zfnet_cifar.yaml --set data.source.path=DIR
    python docs/make_zfnet.py runs/zfnet_cifar

Every fifth held-out image is used, 2,000 of CIFAR-10.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "_static"
WINDOW, STRIDE = 16, 4
EARLY, LATE = "conv1", "fc7"
CHANGES = (  # the function of kerasnets.explain, its amounts, and the label of the axis
    ("shifted", range(-16, 17, 2), "shift down (pixels)"),
    ("scaled", np.arange(1, 1.85, 0.1), "enlargement"),
    ("turned", range(0, 361, 15), "turn (degrees)"),
)


def main(folder: str) -> None:
    """Writes the pictures from the run in a folder."""
    import kerasnets
    from kerasnets import explain
    from kerasnets.exporters.open_network import open_network
    from kerasnets.report.unit_pictures import Batches

    network = open_network(folder)
    images = np.concatenate(list(Batches(network, None)))[::5]
    batches = [images[start : start + 100] for start in range(0, len(images), 100)]
    save("filters", draw_filters(explain.first_filters(network.model)))
    with tempfile.TemporaryDirectory() as output:
        for layer in ("conv2", "conv5"):
            found = kerasnets.visualize_units(folder, layer, data=batches, maps=8, output=output)
            save(f"units_{layer}", Path(found["picture"]).read_bytes())
            print(f"{layer}: {found['method']}")
        found = kerasnets.visualize_evolution(folder, "conv4", data=batches, maps=5, output=output)
        save("evolution", Path(found["picture"]).read_bytes())
    sure = surest(network.model, images)
    save("occlusion", draw_occlusion(network, images[sure]))
    save("invariance", draw_invariance(network.model, images[sure]))


def surest(model, images) -> list[int]:
    """Returns for each of five classes the number of the image that the network gives the largest logit."""
    from kerasnets.explain.network import all_logits

    logits = all_logits(model, images)
    own = logits.argmax(axis=1)
    return [int(np.argmax(np.where(own == number, logits[:, number], -np.inf))) for number in np.unique(own)[:10:2]]


def draw_filters(filters):
    """Draws the filters of the first layer: figure 6 of the paper."""
    figure = new_figure(7, 7 * -(-len(filters) // 12) / 12)
    for axis, one in zip(figure.subplots(-(-len(filters) // 12), 12).ravel(), filters, strict=False):
        axis.imshow(one)
    return figure


def draw_occlusion(network, images):
    """Draws how much the logit of the most probable class falls when a square is grey: figure 7 of the paper."""
    from kerasnets import explain

    maps = explain.occlusion(network.model, images, window=WINDOW, stride=STRIDE, per_pixel=True)
    target = most_probable(network.model, images)
    numbers = network.preprocessing
    shown = np.clip((images * np.array(numbers.std) + np.array(numbers.mean)) / 255, 0, 1)
    figure = new_figure(7, 3.1)
    for column, (above, below) in enumerate(figure.subplots(2, len(images)).T):
        above.imshow(shown[column])
        above.set_title(network.labels[target[column]], fontsize=9)
        below.imshow(shown[column].mean(axis=-1), cmap="gray")
        below.imshow(maps[column], cmap="inferno", alpha=0.65, vmin=0, vmax=max(maps[column].max(), 1e-6))
    return figure


def draw_invariance(model, images):
    """Draws the distance of features of changed images, and the probability of their class: figure 5 of the paper."""
    from kerasnets import explain

    figure = new_figure(9, 5.4)
    axes = figure.subplots(3, 3)
    for row, (name, amounts, label) in enumerate(CHANGES):
        found = explain.invariance(model, images, getattr(explain, name), list(amounts), [EARLY, LATE])
        for axis, key in zip(axes[row], (EARLY, LATE, "probability"), strict=True):
            axis.plot(list(amounts), found[key], linewidth=1.2)
            axis.set_xlabel(label, fontsize=8)
            axis.tick_params(labelsize=7)
    titles = (f"distance in {EARLY}", f"distance in {LATE}", "probability of the class")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure


def most_probable(model, images) -> np.ndarray:
    """Returns the most probable class of each image."""
    from kerasnets.explain.network import all_logits

    return all_logits(model, images).argmax(axis=1)


def new_figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(name: str, picture) -> None:
    """Writes a figure, or a PNG, with 256 colours, so that the file is small."""
    import io

    from PIL import Image

    if not isinstance(picture, bytes):
        for axis in picture.axes:
            if axis.images:
                axis.set_axis_off()
        file = io.BytesIO()
        picture.savefig(file, format="png", dpi=110, metadata={"Software": None})
        picture = file.getvalue()
    path = FOLDER / f"zfnet_{name}.png"
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
