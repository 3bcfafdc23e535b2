"""Run folders: what a training run writes, and how to read it.

* Before the first step: recipe.yaml, environment.json, data.json, labels.txt, preprocessing.json.
* While it trains: log.jsonl, tensorboard/, checkpoints/ with last, previous and best.
* At the end: model.keras, evaluation.json, wrong/ with pictures of wrong predictions.
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf
from filelock import FileLock, Timeout

from kerasnets.architectures import catalogue  # noqa: F401  (registers the layers with Keras)
from kerasnets.distribution.strategy import cluster
from kerasnets.recipe.read import dump_recipe, load_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.registry import Preprocessing
from kerasnets.runs.checkpoints import write_atomically

PACKAGES = ("kerasnets", "tensorflow", "keras", "keras-cv", "tensorflow-datasets", "numpy")
LOCK = ".lock"
# What a run that was killed before its first step has written. Such a folder may be used again.
OPENING = {LOCK, "checkpoints", "labels.txt", "preprocessing.json", "environment.json", "data.json", "recipe.yaml"}
OPENING |= {"log.jsonl"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what a user of its network needs."""

    path: Path
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    recipe: Recipe

    @functools.cached_property
    def model(self) -> keras.Model:
        """The trained network: `[B, H, W, C]` normalised pixels -> probabilities `[B, classes]`."""
        model = load_model(self.path / "model.keras")
        model.preprocessing = self.preprocessing
        return model

    @property
    def evaluation(self) -> dict:
        """The scores in `evaluation.json`."""
        return json.loads((self.path / "evaluation.json").read_text())


def load_model(path) -> keras.Model:
    """Reads a `.keras` file with the layers of this package.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No model at {os.fspath(path)!r}.")
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not a whole .keras file: {str(error).splitlines()[0]}") from None


def save_model(model: keras.Model, path) -> None:
    """Writes a `.keras` file as a whole or not at all."""
    path = Path(path)
    unfinished = path.with_name(f".unfinished.{path.name}")
    try:
        model.save(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def open_run(path) -> Run:
    """Opens the folder of a finished run. Its model is read at first use.

    Raises:
        FileNotFoundError: no run there, or one that has not finished.
    """
    path = Path(path)
    if not is_run(path):
        raise FileNotFoundError(f"No run at {os.fspath(path)!r}: a run folder holds recipe.yaml and log.jsonl.")
    if not (path / "model.keras").is_file():
        raise FileNotFoundError(f"The run at {os.fspath(path)!r} has not finished; train it with --resume first.")
    numbers = Preprocessing.from_plain(json.loads((path / "preprocessing.json").read_text()))
    labels = tuple((path / "labels.txt").read_text(encoding="utf-8").splitlines())
    return Run(path, numbers, labels, load_recipe(path / "recipe.yaml"))


def is_run(path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return (Path(path) / "recipe.yaml").is_file() and (Path(path) / "log.jsonl").is_file()


def check_writable(run: Path, name: str) -> None:
    """Raises OSError, before long work, if the file `name` cannot be written into a run's folder."""
    try:
        tempfile.TemporaryFile(dir=run).close()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"The run folder {str(run)!r} should be writable, for its {name}, and is not: {reason}") from None


@contextlib.contextmanager
def claim(path, *, resume: bool, overwrite: bool):
    """A context that makes the folder of a run and locks it. The lock ends with this process, even when it is killed.

    Args:
        resume: whether the folder may hold a run, which is kept.
        overwrite: whether the folder may hold a run, which is deleted.

    Raises:
        ValueError: the folder holds something else, or another process trains in it.
        OSError: the folder cannot be written.
    """
    path = Path(path)
    place = os.fspath(path)
    if is_run(path) and not (resume or overwrite):
        what = "a finished run" if (path / "model.keras").exists() else "an unfinished run, which --resume continues"
        raise ValueError(f"{place!r} holds {what}; --overwrite begins again, --output DIR writes elsewhere.")
    unused = not path.exists() or (path.is_dir() and OPENING >= {entry.name for entry in path.iterdir()})
    if not unused and not is_run(path):
        raise ValueError(f"{place!r} exists and is not a run folder; choose another with --output DIR.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise OSError(f"The run folder {place!r} cannot be written: {error.strerror or error}") from None
    with locked(path):
        if is_run(path) and overwrite and not resume:
            for entry in path.iterdir():
                if entry.name != LOCK:
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        (path / "checkpoints").mkdir(exist_ok=True)
        yield path


@contextlib.contextmanager
def locked(path: Path):
    """A context that locks a run folder against other processes.

    Raises:
        ValueError: another process trains in the folder.
        OSError: the folder cannot be written.
    """
    lock, place = FileLock(path / LOCK), os.fspath(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"Another process trains in {place!r}; wait for its end, or choose another folder with --output DIR."
        ) from None
    except NotImplementedError:  # a file system without locks
        pass
    except OSError as error:
        raise OSError(f"The run folder {place!r} cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def write_opening(
    path: Path, recipe: Recipe, preprocessing: Preprocessing, labels, devices: list[str], data: dict
) -> None:
    """Writes the files of a run folder that are known before the first step."""
    write_atomically(path / "data.json", json.dumps(data, indent=1) + "\n")
    write_atomically(path / "labels.txt", "".join(f"{label}\n" for label in labels))
    write_atomically(path / "preprocessing.json", json.dumps(preprocessing.as_plain(), indent=1) + "\n")
    write_atomically(path / "environment.json", json.dumps(environment(devices), indent=1) + "\n")
    write_atomically(path / "recipe.yaml", dump_recipe(recipe))


def environment(devices: list[str]) -> dict:
    """Returns versions of packages, devices and workers, without paths and names of machines."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        **versions,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "workers": cluster().workers,
        "devices": [":".join(device.split(":")[-2:]) for device in devices],
    }


def read_json(path: Path) -> dict:
    """Returns the content of a JSON file of a run folder; `{}` if there is none, as in runs of older versions."""
    return json.loads(path.read_text()) if path.is_file() else {}


def append_log(path: Path, event: str, **values) -> None:
    """Adds one line to the run's log. Of several workers, only the chief does; without a run folder, nobody.

    The line is in the file when the function returns, so a killed process does not lose it.
    """
    if path is not None and cluster().is_chief:
        append_line(Path(path) / "log.jsonl", event, **values)


def append_line(file_path: Path, event: str, **values) -> None:
    """Adds one line to a file of JSON lines, on any worker."""
    line = json.dumps({"event": event, **values}) + "\n"
    with open(file_path, "ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a killed process did not finish the last line
                line = f"\n{line}"
        file.write(line.encode())


class Scalars:
    """Writes TensorBoard events without TensorBoard, which `tf.summary.scalar` needs."""

    def __init__(self, folder):
        self.writer = tf.summary.create_file_writer(os.fspath(folder))
        self.metadata = tf.compat.v1.SummaryMetadata()
        self.metadata.plugin_data.plugin_name = "scalars"

    def write(self, values: dict[str, float], step: int) -> None:
        """Writes numbers by name and flushes them."""
        with self.writer.as_default():
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), step=step, metadata=self.metadata)
        self.writer.flush()
