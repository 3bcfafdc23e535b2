"""Draws the chart of an experiment with matplotlib, as a PNG file."""

import io

from kerasnets.experiments.measures import KINDS, key, title
from kerasnets.experiments.result import ExperimentResult
from kerasnets.experiments.schema import MeasureOptions


def experiment_chart(result: ExperimentResult) -> bytes | None:
    """Returns the chart that the experiment asks for, or `None` while there is nothing to draw."""
    from matplotlib.figure import Figure

    if not any(result.interval(arm) for arm in result.values):
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    _KINDS[result.experiment.chart.kind](axes, result)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _bars(axes, result: ExperimentResult) -> None:
    measure = result.experiment.measure
    arms, scale = _measured(result), _scale(measure)
    for number, arm in enumerate(arms):
        mean, low, high = _scaled(result.interval(arm), scale)
        axes.bar(number, mean, color=f"C{number}", alpha=0.45, width=0.6)
        if low is not None:
            axes.errorbar(number, mean, [[mean - low], [high - mean]], color="0.2", capsize=5, linewidth=1.2)
        runs = [scale * value for value in result.values[arm][key(measure)].values()]
        axes.plot([number] * len(runs), runs, "o", color=f"C{number}", markersize=4)
    axes.set_xticks(range(len(arms)), arms)
    axes.set_ylabel(_label(measure))
    if KINDS[measure.name].share:
        axes.set_ylim(bottom=0)


def _scatter(axes, result: ExperimentResult) -> None:
    measure, across = result.experiment.measure, MeasureOptions(name=result.experiment.chart.x)
    for number, arm in enumerate(_measured(result)):
        x = _scale(across) * result.interval(arm, across).mean
        mean, low, high = _scaled(result.interval(arm), _scale(measure))
        spread = None if low is None else [[mean - low], [high - mean]]
        axes.errorbar(x, mean, spread, fmt="o", color=f"C{number}", capsize=4)
        axes.annotate(arm, (x, mean), textcoords="offset points", xytext=(7, 4), fontsize=9)
    axes.set(xlabel=_label(across), ylabel=_label(measure))


def _curves(axes, result: ExperimentResult) -> None:
    measure = MeasureOptions(name=result.experiment.chart.of)
    for number, (arm, runs) in enumerate(result.curves.items()):
        by_epoch = {}
        for points in runs.values():
            for epoch, value in points:
                by_epoch.setdefault(epoch, []).append(_scale(measure) * value)
        epochs = sorted(by_epoch)
        means = [sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in epochs]
        axes.plot(epochs, means, color=f"C{number}", label=arm, marker="o", markersize=3)
        lows, highs = ([choose(by_epoch[epoch]) for epoch in epochs] for choose in (min, max))
        axes.fill_between(epochs, lows, highs, color=f"C{number}", alpha=0.15, linewidth=0)
    axes.set(xlabel="epoch", ylabel=_label(measure))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)


_KINDS = {"bars": _bars, "scatter": _scatter, "curves": _curves}


def _measured(result: ExperimentResult) -> list[str]:
    """Returns the arms and ensembles that have a value, in the order of the file."""
    names = [*result.experiment.arms, *result.experiment.ensembles]
    return [name for name in names if result.interval(name)]


def _scale(measure: MeasureOptions) -> float:
    return 100.0 if KINDS[measure.name].share else 1.0


def _scaled(interval, scale: float) -> list:
    return [None if value is None else scale * value for value in interval]


def _label(measure: MeasureOptions) -> str:
    return title(measure) + " (%)" * KINDS[measure.name].share
