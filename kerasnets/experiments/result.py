"""The result of an experiment, gathered from its run folders without TensorFlow."""

import dataclasses
import json
import os
from pathlib import Path

from kerasnets.experiments.measures import KINDS, curve, key, read_measures, title
from kerasnets.experiments.read import load_experiment, statements, tasks
from kerasnets.experiments.schema import Experiment
from kerasnets.experiments.statement import Interval, Judgement, interval, judge, overall
from kerasnets.runs.checkpoints import write_atomically
from kerasnets.runs.log import read_log

EXPERIMENT, RESULT, VOTES, FAILURE = "experiment.yaml", "result.json", "votes.json", "failure.txt"


@dataclasses.dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found; `print` shows it in a few lines.

    Attributes:
        path: the folder of the experiment.
        experiment: the experiment as it was run, with all changes.
        values: arm -> measure -> seed -> number. A measure is called as in `measures.json`.
        curves: arm -> seed -> [(epoch, value)], for a chart of curves.
        judgements: one for each statement of `expect`.
        verdict: `"holds"`, `"does not hold"` or `"undecided"`.
        missing: runs that have not finished, as `arm/seed0`.
        failed: run -> the error that ended it.
        seconds: the time of all training epochs together.
        machine: processor cores or devices, and TensorFlow's version.
        smoke: whether the runs were cut down to two steps.
    """

    path: Path
    experiment: Experiment
    values: dict[str, dict[str, dict[int, float]]]
    curves: dict[str, dict[int, list]]
    judgements: tuple[Judgement, ...]
    verdict: str
    missing: tuple[str, ...]
    failed: dict[str, str]
    seconds: float
    machine: str
    smoke: bool = False

    def interval(self, arm: str, measure=None) -> Interval | None:
        """Returns the mean of a measure over the seeds of an arm, and its 95 % interval."""
        measure = measure or self.experiment.measure
        numbers = list(self.values.get(arm, {}).get(key(measure), {}).values())
        return interval(numbers, KINDS[measure.name].exact) if numbers else None

    def __str__(self) -> str:
        lines = [f"{self.experiment.name}: {self.verdict}", self.experiment.claim]
        lines += [f"  {found.statement}: {found.verdict}" for found in self.judgements]
        return "\n".join(lines)


def run_folder(folder: Path, arm: str, seed: int) -> Path:
    """Returns the folder of one run of an experiment."""
    return Path(folder) / arm / f"seed{seed}"


def gather(folder: str | os.PathLike) -> ExperimentResult:
    """Reads what the runs in the folder of an experiment found, judges it, and writes result.json.

    Raises:
        FileNotFoundError: the folder holds no experiment.
    """
    folder = Path(folder)
    if not (folder / EXPERIMENT).is_file():
        raise FileNotFoundError(f"No experiment at {os.fspath(folder)!r}: its folder holds {EXPERIMENT}.")
    experiment = load_experiment(folder / EXPERIMENT)
    values, curves, facts, missing, failed = {}, {}, {}, [], {}
    for arm, seed in tasks(experiment):
        run = run_folder(folder, arm, seed)
        measured = read_measures(run)
        if (run / FAILURE).is_file():
            failed[f"{arm}/seed{seed}"] = (run / FAILURE).read_text(encoding="utf-8").strip()
        elif any(key(measure) not in measured for measure in experiment.measures):
            missing.append(f"{arm}/seed{seed}")
        for name, value in measured.items():
            values.setdefault(arm, {}).setdefault(name, {})[seed] = value
        if measured and experiment.chart.kind == "curves":
            curves.setdefault(arm, {})[seed] = curve(run, experiment.chart.of)
        if measured:
            facts[run] = _facts(run)
    for name, votes in _votes(folder, experiment).items():
        missing += [f"{name}/seed{seed}" for seed in range(experiment.seeds) if seed not in votes]
        values |= {name: {key(experiment.measure): votes}} if votes else {}
    judged = {arm: numbers.get(key(experiment.measure), {}) for arm, numbers in values.items()}
    exact = KINDS[experiment.measure.name].exact
    judgements = tuple(judge(statement, judged, exact) for statement in statements(experiment))
    result = ExperimentResult(
        path=folder,
        experiment=experiment,
        values=values,
        curves=curves,
        judgements=judgements,
        verdict=overall(judgements),
        missing=tuple(missing),
        failed=failed,
        seconds=round(sum(found["seconds"] for found in facts.values()), 1),
        machine=", ".join(sorted({found["machine"] for found in facts.values()})),
        smoke=any(found["smoke"] for found in facts.values()),
    )
    write_atomically(folder / RESULT, json.dumps(plain(result), indent=1, ensure_ascii=False) + "\n")
    return result


def _votes(folder: Path, experiment: Experiment) -> dict[str, dict[int, float]]:
    """Returns the errors of each ensemble by seed."""
    found = _read(folder / VOTES)
    return {
        name: {int(seed): error for seed, error in found.get(name, {}).items() if int(seed) < experiment.seeds}
        for name in experiment.ensembles
    }


def plain(result: ExperimentResult) -> dict:
    """Returns the result as JSON has it, with the means and intervals of all arms."""
    experiment = result.experiment
    measures = [measure.model_dump(exclude_none=True) | {"title": title(measure)} for measure in experiment.measures]
    found = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    means = {
        arm: {key(m): result.interval(arm, m)._asdict() for m in experiment.measures if result.interval(arm, m)}
        for arm in result.values
    }
    return found | {
        "path": None,
        "experiment": experiment.model_dump(mode="json"),
        "judgements": [
            judgement._asdict() | {"difference": judgement.difference and judgement.difference._asdict()}
            for judgement in result.judgements
        ],
        "measures": measures,
        "means": means,
    }


def read_result(path: Path) -> ExperimentResult:
    """Returns the result that a result.json holds; its `path` is the file's folder."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    del found["measures"], found["means"]
    judgements = tuple(
        Judgement(**j | {"difference": j["difference"] and Interval(**j["difference"])}) for j in found["judgements"]
    )
    values = {
        arm: {name: {int(seed): value for seed, value in numbers.items()} for name, numbers in measured.items()}
        for arm, measured in found["values"].items()
    }
    curves = {
        arm: {int(seed): [tuple(point) for point in points] for seed, points in runs.items()}
        for arm, runs in found["curves"].items()
    }
    experiment = Experiment.model_validate_json(json.dumps(found["experiment"]), strict=True)
    same = {"judgements": judgements, "values": values, "curves": curves, "experiment": experiment}
    return ExperimentResult(**found | same | {"path": Path(path).parent, "missing": tuple(found["missing"])})


def _facts(run: Path) -> dict:
    """Returns the time of a run's epochs and the machine that it ran on."""
    environment = _read(run / "environment.json")
    devices = [device for device in environment.get("devices", ()) if not device.startswith("CPU")]
    place = ", ".join(devices) or f"{environment.get('cpu_count')} CPU cores"
    epochs = {event["epoch"]: event for event in read_log(run) if event.get("event") == "epoch"}
    return {
        "seconds": sum(event["seconds"] for event in epochs.values()),
        "machine": f"{environment.get('system')}, {place}, TensorFlow {environment.get('tensorflow')}",
        "smoke": any(event["step"] <= 2 for event in epochs.values()),
    }


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
