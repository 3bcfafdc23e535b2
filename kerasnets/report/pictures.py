"""Draw maps and feature sheets with matplotlib."""

import io
from typing import NamedTuple

import numpy as np

_COLUMNS = 3  # pictures in a line, so that the page can be read on a phone


class Map(NamedTuple):
    """A map of one image: its title, the method, values (height, width) or `None`, the seconds, and a note in words."""

    title: str
    method: str
    values: np.ndarray | None
    seconds: float
    note: str


def draw_maps(image: np.ndarray, predictions: list[dict], maps: list[Map]) -> bytes:
    """Returns a PNG: the photo, bars of the best classes, and the maps over the grey photo.

    Args:
        image: uint8 (height, width, channels).
        predictions: the best classes, with label and probability.
        maps: those with a note are not drawn; the note stands in their place.
    """
    count = 2 + len(maps)
    lines = -(-count // _COLUMNS)
    figure = _figure(3.4 * _COLUMNS, 3.5 * lines)
    panels = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
    panels[0].imshow(_grey_or_colour(image), cmap="gray")
    _bars(panels[1], predictions)
    for panel, one in zip(panels[2:], maps, strict=False):
        panel.set_title(_wrapped(one.title), fontsize=9)
        if one.note:
            panel.text(0.5, 0.5, _wrapped(one.note), ha="center", va="center", fontsize=9, transform=panel.transAxes)
            continue
        panel.imshow(image.mean(axis=-1), cmap="gray", extent=(0, 1, 0, 1))
        values = one.values / max(np.percentile(np.abs(one.values), 99.5), 1e-12)
        panel.imshow(values, cmap="inferno", alpha=0.6, vmin=min(0, values.min()), vmax=1, extent=(0, 1, 0, 1))
        panel.set_xlabel(f"{one.seconds:.2f} s", fontsize=9)
    for number, panel in enumerate(panels):
        if number != 1:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
    return _png(figure)


def draw_sheet(units: list[list[tuple]], titles: list[str]) -> bytes:
    """Returns a PNG with one block for each map: the projections of its strongest activations, then the patches.

    Args:
        units: for each map (patch of the image, projection), values 0..1, up to nine.
    """
    lines = -(-len(units) // 2)
    figure = _figure(8.8, 2.4 * lines)
    figure.get_layout_engine().set(wspace=0.04)
    panels = figure.subplots(lines, 2, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, pairs, title in zip(panels, units, titles, strict=False):
        patches, projections = (_nine([pair[number] for pair in pairs]) for number in (0, 1))
        gap = np.ones((len(patches), len(patches) // 16, 3))
        panel.imshow(np.concatenate([projections, gap, patches], axis=1))
        panel.set_title(title, fontsize=8)
    return _png(figure)


def _nine(images: list[np.ndarray]) -> np.ndarray:
    """Returns up to nine pictures of one size in three rows, with white lines between them."""
    height, width = images[0].shape[:2]
    line = max(1, height // 16)
    sheet = np.ones((3 * height + 2 * line, 3 * width + 2 * line, 3))
    for number, image in enumerate(images):
        top, left = (number // 3) * (height + line), (number % 3) * (width + line)
        sheet[top : top + height, left : left + width] = image
    return sheet


def draw_evolution(columns: dict[str, list[tuple]], titles: list[str]) -> bytes:
    """Returns a PNG with a line for each map and a column for each state: the projection above the patch of the image.

    Args:
        columns: name of a state -> (patch of the image, projection) of each map, values 0..1.
        titles: the names of the maps.
    """
    figure = _figure(0.9 * len(columns) + 0.5, 1.75 * len(titles) + 0.3)
    lines = figure.subplots(2 * len(titles), len(columns), squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for axis in lines.ravel():
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for column, (name, pairs) in enumerate(columns.items()):
        lines[0, column].set_title(name, fontsize=8)
        for number, (patch, projection) in enumerate(pairs):
            lines[2 * number, column].imshow(_grey_or_colour(projection), cmap="gray", vmin=0, vmax=1)
            lines[2 * number + 1, column].imshow(_grey_or_colour(patch), cmap="gray", vmin=0, vmax=1)
    for number, title in enumerate(titles):
        lines[2 * number, 0].set_ylabel(title, fontsize=8)
    return _png(figure)


def _grey_or_colour(image: np.ndarray) -> np.ndarray:
    return image[..., 0] if image.shape[-1] == 1 else image


def _bars(panel, predictions: list[dict]) -> None:
    names = [_shortened(row["label"]) for row in predictions][::-1]
    bars = panel.barh(names, [100 * row["probability"] for row in predictions][::-1], color="#4269d0")
    panel.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
    panel.set(xlim=(0, 125), xticks=[])
    panel.tick_params(axis="y", labelsize=8, length=0)
    panel.spines[:].set_visible(False)


def _shortened(text: str, most: int = 18) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 38))


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
