"""Writes docs/experiments/: a page for each experiment that was run, and an index by chapters.

    python docs/make_experiments.py [FOLDER ...]

Takes the results of the experiments in the folders (such as runs/experiments) into docs/experiments/results, then
writes all pages from there. Smoke runs, and experiments with runs that are missing, are left out.
"""

import shutil
import sys
from pathlib import Path

from kerasnets.experiments.read import load_experiment
from kerasnets.experiments.result import RESULT, gather, read_result
from kerasnets.recipe.shipped import experiment_names
from kerasnets.report.experiment import markdown
from kerasnets.report.experiment_chart import experiment_chart

PAGES = Path(__file__).parent / "experiments"
RESULTS = PAGES / "results"


def main(folders: list[str]) -> None:
    """Takes the results of some folders and writes all pages."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for folder in [path for parent in folders for path in sorted(Path(parent).iterdir()) if path.is_dir()]:
        result = gather(folder)
        if result.smoke or result.missing or folder.name not in experiment_names():
            print(f"left out: {folder.name}")
            continue
        shutil.copy(folder / RESULT, RESULTS / f"{folder.name}.json")
    results = {path.stem: read_result(path) for path in sorted(RESULTS.glob("*.json"))}
    for name, result in results.items():
        (PAGES / f"{name}.png").write_bytes(experiment_chart(result))
        (PAGES / f"{name}.md").write_text(markdown(result, f"{name}.png"), encoding="utf-8")
    (PAGES / "index.md").write_text(index(results), encoding="utf-8")
    print(f"{len(results)} pages of {len(experiment_names())} experiments")


def index(results: dict) -> str:
    """Returns the index: the experiments of each chapter with their verdicts, and those that were not run."""
    experiments = {name: load_experiment(name) for name in experiment_names()}
    chapters = dict.fromkeys(experiment.chapter for experiment in experiments.values())
    verdicts = [result.verdict for result in results.values()]
    counts = ", ".join(f"{verdict}: {verdicts.count(verdict)}" for verdict in ("holds", "undecided", "does not hold"))
    lines = ["# Results of the experiments", ""]
    lines += [
        "Each page tests a claim of a paper at a size that takes minutes on two processor cores. A claim that does"
    ]
    lines += [
        "not hold here may hold at the paper's size; the page says what differs. How to write and run an experiment:"
    ]
    lines += [
        "[Experiments](../experiments.md). The machine did other work meanwhile, so the times are upper bounds.",
        "",
    ]
    lines += [f"Of {len(experiments)} experiments, {len(results)} were run: {counts}. The others are *not run*.", ""]
    for chapter in sorted(chapters, key=str.lower):
        lines += [f"## {chapter}", "", "| experiment | verdict | seeds |", "| :--- | :--- | ---: |"]
        for name, experiment in experiments.items():
            if experiment.chapter == chapter:
                result = results.get(name)
                link = f"[{name}]({name}.md)" if result else f"`{name}`"
                seeds = str(result.experiment.seeds) if result else "–"
                lines.append(f"| {link} | {result.verdict if result else 'not run'} | {seeds} |")
        lines += ["", *(f"* `{name}`: {e.claim}" for name, e in experiments.items() if e.chapter == chapter), ""]
    lines += ["```{toctree}", ":hidden:", "", *results, "```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
