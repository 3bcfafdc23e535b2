"""Draw the charts of `kerasnets compare` with matplotlib, in the manner of Canziani et al. 2016.

Source: https://arxiv.org/abs/1605.07678, figures 1, 2, 6 and 10
"""

import io
import math
import re
from html import escape
from typing import NamedTuple

# Winners of the ILSVRC classification task: year, entry, top-5 error in percent of the test images.
# Sources: Russakovsky et al. 2015, https://arxiv.org/abs/1409.0575 (to 2014, and the person);
# https://image-net.org/challenges/LSVRC/2015/results, and 2016, 2017
_WINNERS = (
    (2010, "NEC-UIUC", 28.2), (2011, "XRCE", 25.8), (2012, "AlexNet", 16.4), (2013, "Clarifai", 11.7),
    (2014, "GoogLeNet", 6.66), (2015, "ResNet", 3.57), (2016, "Trimps-Soushen", 2.99), (2017, "SENet", 2.25),
)  # fmt: skip
_PERSON = 5.1
_MARKERS = {"first release": "o", "modern recipe": "D", "more data": "^"}
_AREA = 6.0  # points^2 for each million parameters
_SOFT = "0.45"


class Chart(NamedTuple):
    """A chart: its title, a sentence about it, the SVG text with tooltips, and the PNG file."""

    title: str
    note: str
    svg: str
    png: bytes


def charts(rows: list[dict]) -> dict[str, Chart]:
    """Returns name -> chart for the rows of `kerasnets.compare`; those of measured figures only where rows have them.

    Colours are families. A circle is a first release, a diamond a modern recipe, a triangle was trained on more data.
    """
    drawn = {
        "accuracy_operations": _scatter(rows, "multiply_adds", 1e9, "multiply-adds of one image (G)"),
        "accuracy_parameters": _scatter(rows, "parameters", 1e6, "parameters (M)"),
        "accuracy": _bars(rows, "top1", "Top-1 by year", "top-1 (%)"),
        "density": _bars(rows, "density", "Information density", "top-1 (%) for each million parameters", log=True),
        "history": _history(),
    }
    if any("milliseconds_1" in row for row in rows):
        drawn["accuracy_time_1"] = _scatter(rows, "milliseconds_1", 1, "time of 1 image on this machine (ms)")
        drawn["accuracy_time_16"] = _scatter(rows, "milliseconds_16", 1, "time of 16 images on this machine (ms)")
        drawn["accuracy_memory"] = _scatter(rows, "peak_memory", 1e6, "peak memory for 16 images (MB)")
    if any(row.get("joules") for row in rows):
        known = [row for row in rows if row.get("joules")]
        drawn["accuracy_energy"] = _scatter(known, "joules", 1, "energy of one image (J)")
    return drawn


def colours(rows: list[dict]) -> dict[str, tuple]:
    """Returns family -> colour, families in the order of their first paper."""
    import matplotlib

    families = sorted({row["family"] for row in rows}, key=lambda f: (_first_year(rows, f), f))
    palette = [*matplotlib.colormaps["tab20"].colors, *matplotlib.colormaps["tab20b"].colors]
    return {family: palette[number % len(palette)] for number, family in enumerate(families)}


def _first_year(rows, family: str) -> int:
    return min(row["year"] for row in rows if row["family"] == family)


def _scatter(rows, cost: str, unit: float, label: str) -> Chart:
    """Draws top-1 against a cost. The area of a mark is the number of parameters."""
    figure, axes = _figure(9.5, 5.6)
    shades, tips, best = colours(rows), {}, pareto(rows, cost)
    for number, row in enumerate(rows):
        x, y, area = row[cost] / unit, row["top1"], max(_AREA * row["parameters"] / 1e6, 12)
        style = {"color": shades[row["family"]], "alpha": 0.55, "linewidths": 0.8, "edgecolors": "black"}
        axes.scatter(x, y, s=area, marker=_MARKERS[row["training"]], **style, gid=f"mark-{number}")
        axes.scatter(x, y, s=3, color="0.3", zorder=3)
        tips[f"mark-{number}"] = _tip(row, f"{x:.4g} {label}")
    front = sorted((rows[number][cost] / unit, rows[number]["top1"], rows[number]["name"]) for number in best)
    axes.plot([x for x, _, _ in front], [y for _, y, _ in front], color=_SOFT, linewidth=1, linestyle="--", zorder=0)
    _label_points(axes, front, [(row[cost] / unit, row["top1"], row["name"]) for row in _smallest_first_releases(rows)])
    axes.set(xlabel=label, ylabel="top-1 (%)")
    _logarithmic(axes)
    axes.set_xlim(left=0.3 * min(row[cost] for row in rows) / unit)
    _legend(figure, axes, rows, shades)
    note = f"The broken line joins the networks that no other beats. Areas: parameters, {_sizes(rows)}."
    return _finished(figure, f"Top-1 against {label.partition(' (')[0]}", note, tips)


def _logarithmic(axes) -> None:
    """Gives the horizontal axis a logarithmic scale with plain numbers: 0.1, 0.2, 0.5, 1, 2, 5."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_points(axes, front, others) -> None:
    """Labels points (x, y, name): those of the Pareto front above, others below.

    A label that would overlap an earlier one is left out.
    """
    from matplotlib.patheffects import withStroke

    taken, halo = [], [withStroke(linewidth=2, foreground="white")]  # so that a label can be read on a mark
    for x, y, name in [*front, *others]:
        above, place = (x, y, name) in front, (math.log10(x), y)
        if any(abs(place[0] - at) < 0.3 and abs(place[1] - height) < 1.2 for at, height in taken):
            continue
        taken.append(place)
        style = {"xytext": (-6, 7), "ha": "right"} if above else {"xytext": (0, -13), "ha": "center", "color": "0.3"}
        axes.annotate(name, (x, y), textcoords="offset points", fontsize=7, path_effects=halo, **style)


def _smallest_first_releases(rows) -> list[dict]:
    """Returns the cheapest first release of each family."""
    first = [row for row in rows if row["training"] == "first release"]
    return list({row["family"]: row for row in sorted(first, key=lambda row: -row["multiply_adds"])}.values())


def pareto(rows: list[dict], cost: str) -> list[int]:
    """Returns the numbers of the rows that no other beats, the cheapest first: a higher top-1 needs a higher cost."""
    found, best = [], float("-inf")
    for number in sorted(range(len(rows)), key=lambda number: (rows[number][cost], -rows[number]["top1"])):
        if rows[number]["top1"] > best:
            found.append(number)
            best = rows[number]["top1"]
    return found


def _bars(rows, key: str, title: str, label: str, log: bool = False) -> Chart:
    """Draws one bar for each row: first releases filled, others hatched."""
    rows = sorted(rows, key=lambda row: (row["year"], row["family"], row[key]))
    figure, axes = _figure(9.5, 1.2 + 0.17 * len(rows))
    shades, tips = colours(rows), {}
    for number, row in enumerate(rows):
        hatch = "" if row["training"] == "first release" else "////"
        bar = axes.barh(number, row[key], color=shades[row["family"]], hatch=hatch, edgecolor="white", linewidth=0.4)
        bar[0].set_gid(f"bar-{number}")
        tips[f"bar-{number}"] = _tip(row, f"{row[key]:.4g} {label}")
    axes.set(yticks=range(len(rows)), xlabel=label, ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticklabels([f"{row['year']}  {row['name']}" for row in rows], fontsize=7)
    if log:
        _logarithmic(axes)
    else:
        axes.set_xlim(left=10 * ((min(row[key] for row in rows) - 5) // 10))
    note = "By the year of the paper. Hatched: a modern recipe, or more data, and not the first release."
    return _finished(figure, title, note, tips)


def _history() -> Chart:
    """Draws the top-5 error of the winners of ILSVRC."""
    figure, axes = _figure(9.5, 3.6)
    years, names, errors = zip(*_WINNERS, strict=True)
    bars = axes.bar(years, errors, color=["0.7" if year < 2012 else "#4269d0" for year in years], width=0.7)
    texts = [f"{name}\n{error:.3g}" for name, error in zip(names, errors, strict=True)]
    axes.bar_label(bars, texts, fontsize=7.5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5}, padding=1)
    axes.axhline(_PERSON, color=_SOFT, linestyle="--", linewidth=1, zorder=0)
    axes.text(years[-1] + 0.6, _PERSON, f" a trained\n person, {_PERSON}", va="center", fontsize=8)
    axes.set(ylabel="top-5 error (%)", ylim=(0, 33), xlim=(years[0] - 0.6, years[-1] + 0.6), xticks=years)
    note = "Test images of the classification task; from 2012 on the entries are convolutional networks."
    return _finished(figure, "ILSVRC winners", note, {})


def _tip(row: dict, figure: str) -> str:
    return (
        f"{row['name']} ({row['year']}), {row['checkpoint']} of {row['source']}: {row['training']}\n"
        f"top-1 {row['top1']:.1f} %, {row['parameters'] / 1e6:.1f} M parameters, {row['multiply_adds'] / 1e9:.2f} G "
        f"multiply-adds at {row['size']} pixels\n{figure}"
    )


def _sizes(rows) -> str:
    counts = [row["parameters"] / 1e6 for row in rows]
    return f"{min(counts):.1f} to {max(counts):.0f} million"


def _legend(figure, axes, rows, shades) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=shade, marker="o", linestyle="", label=family) for family, shade in shades.items()]
    used = {row["training"] for row in rows}
    marks += [
        Line2D([], [], color="0.3", marker=marker, linestyle="", markerfacecolor="none", label=kind)
        for kind, marker in _MARKERS.items()
        if kind in used
    ]
    figure.legend(handles=marks, loc="outside right upper", fontsize=7, frameon=False)


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _finished(figure, title: str, note: str, tips: dict[str, str]) -> Chart:
    """Returns a chart. The element of each id gets a tooltip, and the file says nothing about when it was drawn."""
    import matplotlib

    svg, png = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": title}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    text = svg.getvalue()[svg.getvalue().index("<svg") :]
    for gid, tip in tips.items():
        text = re.sub(rf'(<g id="{gid}">)', lambda found, tip=tip: f"{found[1]}<title>{escape(tip)}</title>", text)
    size = re.search(r'width="[\d.]+pt" height="[\d.]+pt"', text)
    text = text.replace(size[0], f'role="img" aria-label="{escape(title)}" style="background: #fff"', 1)
    return Chart(title, note, text, png.getvalue())
