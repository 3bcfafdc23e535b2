"""Writes the report of an experiment: report.html, report.md and chart.png in its folder."""

from pathlib import Path

from kerasnets.experiments.measures import KINDS, title
from kerasnets.experiments.result import ExperimentResult, gather
from kerasnets.experiments.schema import MeasureOptions
from kerasnets.experiments.statement import Interval
from kerasnets.recipe.shipped import experiment_names
from kerasnets.report.experiment_chart import experiment_chart
from kerasnets.report.page import render_page, table
from kerasnets.runs.checkpoints import write_atomically

CHART = "chart.png"
# Words of names that are not written in lower case.
_SPELLED = ("AlexNet", "LeNet", "LRN", "NiN", "ReLU", "SE", "SqueezeNet", "VGG", "WRN", "ZFNet")


def experiment_report(experiment) -> Path:
    """Writes the report of an experiment, from the runs that it has so far.

    Args:
        experiment: its folder, or the result of `run_experiment`.

    Returns:
        The path of report.html. report.md beside it says the same.

    Raises:
        FileNotFoundError: the folder holds no experiment.
    """
    result = experiment if isinstance(experiment, ExperimentResult) else gather(experiment)
    chart = experiment_chart(result)
    if chart:
        write_atomically(result.path / CHART, chart)
    write_atomically(result.path / "report.md", markdown(result, CHART if chart else None))
    return write_atomically(result.path / "report.html", _page(result, CHART if chart else None))


def markdown(result: ExperimentResult, chart: str | None) -> str:
    """Returns the report as Markdown; `chart` is the path of its chart."""
    experiment = result.experiment
    lines = [f"# {heading(result)}", "", f"**Claim.** {experiment.claim}", "", f"**Verdict: {result.verdict}.**"]
    lines += ["", *(f"{note}\n" for note in notes(result))]
    lines += [f"![{title(experiment.measure)}]({chart})", ""] if chart else []
    lines += [_markdown_table(*arms_table(result)), "", _markdown_table(*statements_table(result)), ""]
    lines += [f"## {name}\n\n{text}\n" for name, text in paragraphs(result)]
    return "\n".join(lines)


def _page(result: ExperimentResult, chart: str | None) -> str:
    sections = [{"title": "Result", "image": chart}] if chart else []
    for name, (columns, rows) in (("Arms", arms_table(result)), ("Statements", statements_table(result))):
        sections.append({"title": name, "table": table(columns, rows, tuple(columns[1:]))})
    sections += [{"title": name, "note": text} for name, text in paragraphs(result)]
    sections += [{"title": "", "note": note} for note in notes(result)]
    tiles = [(result.verdict, "verdict")]
    return render_page(
        f"{heading(result)} - kerasnets experiment",
        sections,
        heading=heading(result),
        lead=result.experiment.claim,
        tiles=tiles,
    )


def heading(result: ExperimentResult) -> str:
    """Returns the name of an experiment as a heading, `"LeNet output"`."""
    spelled = {word.lower(): word for word in _SPELLED}
    words = [spelled.get(word, word) for word in result.experiment.name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def notes(result: ExperimentResult) -> list[str]:
    """Returns what a reader must know before the figures: a smoke run, runs that failed or are missing."""
    found = ["A smoke run: the networks were trained for two steps, so the figures mean nothing."] * result.smoke
    found += [f"Failed: {run}: {error}" for run, error in result.failed.items()]
    if result.missing:
        found.append(f"Not finished: {', '.join(result.missing)}.")
    return found


def arms_table(result: ExperimentResult) -> tuple[list[str], list[list[str]]]:
    """Returns columns and rows: each arm, its seeds, the judged measure with its interval, means of the others."""
    experiment = result.experiment
    columns = ["arm", "seeds", title(experiment.measure), "95 % interval"]
    others = [measure for measure in experiment.measures if measure != experiment.measure]
    rows = []
    for arm in [*experiment.arms, *experiment.ensembles]:
        found = result.interval(arm)
        if not found:
            rows.append([arm, "0", *["–"] * (2 + len(others))])
            continue
        seeds = max(len(numbers) for numbers in result.values[arm].values())
        means = [result.interval(arm, other) for other in others]
        cells = [number(mean.mean, other) if mean else "–" for mean, other in zip(means, others, strict=True)]
        rows.append(
            [arm, str(seeds), number(found.mean, experiment.measure), _bounds(found, experiment.measure), *cells]
        )
    return columns + [title(other) for other in others], rows


def statements_table(result: ExperimentResult) -> tuple[list[str], list[list[str]]]:
    """Returns columns and rows: each statement, how far it is fulfilled, and its verdict."""
    measure, rows = result.experiment.measure, []
    for statement, difference, seeds, verdict in result.judgements:
        shown = number(difference.mean, measure, points=True) if difference else "–"
        bounds = _bounds(difference, measure, points=True) if difference else "–"
        rows.append([statement, shown, bounds, str(seeds), verdict])
    return ["statement", "by how much", "95 % interval", "paired seeds", "verdict"], rows


def paragraphs(result: ExperimentResult) -> list[tuple[str, str]]:
    """Returns headings and texts: the paper, what differs from it, how to run it, time and machine."""
    experiment = result.experiment
    paper = f"{experiment.paper.source}: {experiment.paper.place}."
    paper += f" {experiment.paper.figures}" if experiment.paper.figures else ""
    name = experiment.name if experiment.name in experiment_names() else f"{experiment.name}.yaml"
    run = f"`kerasnets experiment run {name}` trains all arms and seeds and writes this report."
    if experiment.full:
        run += f" With `--full`: {experiment.full.note}"
    found = [("In the paper", paper), ("What differs from the paper", experiment.differs), ("How to run it", run)]
    if result.values:
        found.append(("Time and machine", f"{result.seconds:,.0f} s of training in all runs; {result.machine}."))
    return found


def number(value: float, measure: MeasureOptions, points: bool = False) -> str:
    """Returns a value of a measure as a reader expects it; `points`: a difference of shares is in percentage points."""
    kind = KINDS[measure.name]
    if kind.share:
        return f"{100 * value:+.2f} points" if points else f"{100 * value:.2f} %"
    sign = "+" if points else ""
    return f"{value:{sign},.0f}" if kind.exact else f"{value:{sign}.4g}"


def _bounds(interval: Interval, measure: MeasureOptions, points: bool = False) -> str:
    if interval.low is None:
        return "–"
    return f"{number(interval.low, measure, points)} to {number(interval.high, measure, points)}"


def _markdown_table(columns: list[str], rows: list[list[str]]) -> str:
    rule = [":---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))
