"""Draws the stages of a network: its feature maps, and the share of its cost that each stage has."""

from pathlib import Path

COLOURS = ("#4269d0", "#ff8ab7")


def draw(name: str, stages: list[dict], path: Path) -> None:
    """Writes an SVG file.

    Args:
        name: of the network.
        stages: as the model index has them.
        path: of the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    maps, bars = figure.subplots(2, 1, height_ratios=(1.3, 1))
    _draw_maps(maps, stages)
    _draw_shares(bars, stages)
    maps.set_title(f"{name}: feature map of each stride, and share of the cost", fontsize=10)
    figure.savefig(path, metadata={"Date": None})


def _limits(stages: list[dict]) -> tuple[float, float]:
    """Returns the ends of the axis; at least six places, so that a map is a square in every figure."""
    return -0.6, max(len(stages), 6) - 0.4


def _draw_maps(axes, stages: list[dict]) -> None:
    """Draws a square for each map; its side grows with the root of the map's side."""
    from matplotlib.patches import Rectangle

    largest = max(stage["shape"][0] for stage in stages if stage["stride"])
    for place, stage in enumerate(stages):
        side = 0.8 * (stage["shape"][0] / largest) ** 0.5 if stage["stride"] else 0.06
        axes.add_patch(Rectangle((place - side / 2, -side / 2), side, side, facecolor="#97bbf5", edgecolor="#4269d0"))
        axes.text(place, -0.62, " x ".join(map(str, stage["shape"])), ha="center", fontsize=8)
        axes.text(place, 0.5, f"stride {stage['stride']}" if stage["stride"] else "head", ha="center", fontsize=8)
    axes.set(xlim=_limits(stages), ylim=(-0.75, 0.68), aspect="auto")
    axes.axis("off")


def _draw_shares(axes, stages: list[dict]) -> None:
    """Draws two bars for each stage, in percent of the whole network."""
    for offset, colour, key in zip((-0.2, 0.2), COLOURS, ("parameters", "multiply_adds"), strict=True):
        whole = sum(stage[key] for stage in stages)
        shares = [100 * stage[key] / whole for stage in stages]
        places = [place + offset for place in range(len(stages))]
        drawn = axes.bar(places, shares, 0.36, color=colour, label=key.replace("_", "-"))
        axes.bar_label(drawn, fmt="%.0f %%", fontsize=7)
    axes.set(xlim=_limits(stages), xticks=[], ylabel="%")
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
