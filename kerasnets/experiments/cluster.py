"""Hands the runs of an experiment to a Ray cluster. Ray schedules them, and repeats one whose worker died."""

import importlib.util
import os
import sys
from pathlib import Path

from kerasnets.experiments.read import load_experiment, tasks
from kerasnets.experiments.result import EXPERIMENT
from kerasnets.experiments.schema import EACH, Experiment, ResourceOptions

# How often Ray repeats a run whose worker died. The run goes on from its checkpoint.
RETRIES = 3


def run_on_ray(experiment: Experiment, folder: Path, smoke: bool, progress: bool) -> None:
    """Does all runs on the Ray cluster at `RAY_ADDRESS`, or on this machine without one.

    All nodes must see the folder, and have kerasnets installed.

    Raises:
        RuntimeError: Ray is not installed, or a worker died more often than it is replaced.
    """
    if importlib.util.find_spec("ray") is None:
        raise RuntimeError("The engine ray needs Ray: pip install 'kerasnets[ray]'")
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        work = ray.remote(max_retries=RETRIES)(_run_one)
        folder = os.fspath(folder.resolve())
        pending = {}
        for arm, seed in tasks(experiment):
            need = experiment.resources.get(arm, experiment.resources.get(EACH, ResourceOptions()))
            options = {"num_cpus": need.cpus, "num_gpus": need.gpus, "runtime_env": {"env_vars": _environment()}}
            pending[work.options(**options).remote(folder, arm, seed, smoke)] = f"{arm}, seed {seed}"
        while pending:
            (done,), _ = ray.wait(list(pending))
            line = ray.get(done)
            name = pending.pop(done)
            if progress:
                print(f"{name}: {line}", file=sys.stderr, flush=True)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"A run on Ray failed: {error}") from None
    finally:
        if ours:
            ray.shutdown()


def _environment() -> dict[str, str]:
    """Returns the settings of TensorFlow that decide the last digits: those of this process, in every worker.

    Ray would give a worker as many OpenMP threads as it has processor cores by its resources.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("TF_")}
    return kept | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count())}


def _run_one(folder: str, arm: str, seed: int, smoke: bool) -> str:
    """Does one run, in a worker."""
    from kerasnets.experiments.run import run_task

    experiment = load_experiment(Path(folder) / EXPERIMENT, smoke=smoke)
    return run_task(experiment, Path(folder), arm, seed, smoke)
