"""Draw charts as SVG text. They scale with the page, follow its colours and need no library.

Colours come from the page's style sheet (`--series-0`, `--series-1`, ..., `--right`, `--wrong`, `currentColor`).
"""

import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 440, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 34, 40


def line_chart(title: str, series: dict[str, list[tuple[float, float]]], *, x_label: str, percent: bool = False) -> str:
    """Draws lines over one horizontal axis.

    Args:
        title: what the chart shows, for screen readers.
        series: name -> points (x, y). Points that are NaN, infinite or `None` are left out.
        x_label: what x is.
        percent: whether y is a share of 1, which the axis shows in percent.

    Returns:
        An `<svg>` element, or "" when there is not a single point.
    """
    kept = {name: [(x, y) for x, y in points if y is not None and math.isfinite(y)] for name, points in series.items()}
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return ""
    xs, ys = zip(*(point for points in kept.values() for point in points), strict=True)
    x_ticks, y_ticks = _ticks(min(xs), max(xs), 6, whole=True), _ticks(min(ys), max(ys), 5)
    x_range = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 1, min(xs) + 1)
    y_range = (min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / (x_range[1] - x_range[0]) * (_WIDTH - _LEFT - _RIGHT)
        down = (y_range[1] - y) / (y_range[1] - y_range[0]) * (_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(_TOP + down, 1)

    parts = [_grid(x_ticks, y_ticks, place, percent)]
    parts += [_line(number, [place(*point) for point in points]) for number, points in enumerate(kept.values())]
    parts += [
        _legend(kept),
        f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>',
    ]
    return _svg(title, _WIDTH, _HEIGHT, "".join(parts))


def confusion_chart(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draws a confusion matrix: a row for each true class and a column for each predicted one.

    A cell is darker the larger its share of the row is.

    Args:
        matrix: (classes, classes), counts.
        labels: (classes,), their names.
    """
    classes, cell = len(matrix), 34 if len(matrix) <= 20 else 12
    space = min(8 + 7 * max(len(label) for label in labels), 120)
    size = space + classes * cell + 22
    centre = space + classes * cell / 2
    parts = [
        f'<text class="axis" x="{centre}" y="12" text-anchor="middle">predicted</text>',
        f'<text class="axis" transform="translate(11 {centre}) rotate(-90)" text-anchor="middle">true</text>',
    ]
    for row, counts in enumerate(matrix):
        middle = 16 + space + row * cell + cell / 2
        name = escape(_shortened(labels[row]))
        if cell > 20 or row % 2 == 0:
            parts.append(f'<text x="{space + 12}" y="{middle + 4}" text-anchor="end">{name}</text>')
            upright = len(name) <= 2  # a digit; longer names are turned by 90 degrees
            turn = f'x="{middle}" y="{space + 10}" text-anchor="middle"'
            turn = turn if upright else f'transform="translate({middle + 4} {space + 12}) rotate(-90)"'
            parts.append(f"<text {turn}>{name}</text>")
        for column, count in enumerate(counts):
            parts.append(_cell(row, column, count, max(sum(counts), 1), (16 + space, cell), labels))
    return _svg("Confusion matrix", size, size, "".join(parts), kind="confusion")


def _cell(row: int, column: int, count: int, total: int, place: tuple[float, float], labels: Sequence[str]) -> str:
    start, cell = place
    x, y, share = start + column * cell, start + row * cell, count / total
    colour = "currentColor" if not count else "var(--right)" if row == column else "var(--wrong)"
    strength = 0.15 + 0.85 * share if row == column else 0.25 + 0.75 * share
    shade = f'fill="{colour}" fill-opacity="{strength if count else 0.04:.3f}"'
    said = escape(f"{labels[row]} taken for {labels[column]}: {count} of {total}")
    box = f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" rx="2" {shade}><title>{said}</title></rect>'
    if not count or cell < 20:
        return box
    ink = ' class="on-dark"' if strength > 0.6 else ""
    return box + f'<text{ink} x="{x + cell / 2 - 0.5}" y="{y + cell / 2 + 4}" text-anchor="middle">{count}</text>'


def _shortened(text: str, most: int = 16) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _svg(title: str, width: float, height: float, content: str, kind: str = "chart") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _grid(x_ticks, y_ticks, place, percent: bool) -> str:
    parts = []
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        text = f"{100 * tick:g} %" if percent else f"{tick:.4g}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y + 4}" text-anchor="end">{text}</text>')
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    return "".join(parts)


def _line(number: int, points: list[tuple[float, float]]) -> str:
    colour = f"var(--series-{number % 4})"
    if len(points) == 1:
        return f'<circle cx="{points[0][0]}" cy="{points[0][1]}" r="4" fill="{colour}"/>'
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2" stroke-linejoin="round"/>'


def _legend(names) -> str:
    parts, x = [], _LEFT
    for number, name in enumerate(names):
        parts.append(f'<rect x="{x}" y="9" width="14" height="4" rx="2" fill="var(--series-{number % 4})"/>')
        parts.append(f'<text x="{x + 19}" y="15">{escape(name)}</text>')
        x += 40 + 7 * len(name)
    return "".join(parts)


def _ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Returns at most `most` + 1 round numbers from about `low` to about `high`."""
    if high <= low:
        low, high = (low, low + 1) if whole else (low - abs(low) / 10 - 1e-3, high + abs(high) / 10 + 1e-3)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    step = max(1, round(step)) if whole else step
    first = math.ceil(low / step) if whole else math.floor(low / step + 1e-9)
    last = math.floor(high / step) if whole else math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]
