"""Run folders: what a training run leaves behind, and how to read it.

Known before the first step: recipe.yaml, environment.json, data.json, labels.txt, preprocessing.json. Growing:
log.jsonl, tensorboard/, checkpoints/ with last, previous, best. At the end: model.keras, evaluation.json, wrong/ with
pictures.
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

from kerasnets.architectures.catalogue import FAMILIES
from kerasnets.distribution.strategy import cluster
from kerasnets.recipe.read import dump_recipe, load_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.registry import Preprocessing
from kerasnets.runs.checkpoints import write_atomically

PACKAGES = ("kerasnets", "tensorflow", "keras", "keras-cv", "tensorflow-datasets", "numpy")
# What a run that was killed in its first moment leaves behind; it may be begun again.
LOCK = ".lock"
BEGUN = {LOCK, "checkpoints", "labels.txt", "preprocessing.json", "environment.json", "data.json", "recipe.yaml"}
BEGUN |= {"log.jsonl"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what is needed to use the network."""

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
        """What `evaluation.json` holds."""
        return json.loads((self.path / "evaluation.json").read_text())


def load_model(path) -> keras.Model:
    """Reads a `.keras` file with the layers of this package.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No model at {os.fspath(path)!r}.")
    assert FAMILIES  # importing the families is what registers their layers with Keras
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
    """Opens the folder of a finished run; its model is read at first use.

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
    """Whether a folder is a run's, finished or not."""
    return (Path(path) / "recipe.yaml").is_file() and (Path(path) / "log.jsonl").is_file()


@contextlib.contextmanager
def claim(path, *, resume: bool, overwrite: bool):
    """A context that holds the folder of a run: makes it, or takes over the one that is there if it was asked to.

    It is held by a lock that ends with this process, however that ends.

    Raises:
        ValueError: something is there already, or another process trains there.
        OSError: the folder cannot be written.
    """
    path = Path(path)
    place = os.fspath(path)
    if is_run(path) and not (resume or overwrite):
        what = "a finished run" if (path / "model.keras").exists() else "an unfinished run, which --resume continues"
        raise ValueError(f"{place!r} holds {what}; --overwrite begins again, --output DIR writes elsewhere.")
    if path.exists() and not is_run(path) and not (path.is_dir() and BEGUN >= {entry.name for entry in path.iterdir()}):
        raise ValueError(f"{place!r} is there and is not a run folder; choose another with --output DIR.")
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
    """A context in which no other process trains in a run folder.

    Raises:
        ValueError: one does.
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


def begin(path: Path, recipe: Recipe, preprocessing: Preprocessing, labels, devices: list[str], data: dict) -> None:
    """Writes what is known before the first step."""
    write_atomically(path / "data.json", json.dumps(data, indent=1) + "\n")
    write_atomically(path / "labels.txt", "".join(f"{label}\n" for label in labels))
    write_atomically(path / "preprocessing.json", json.dumps(preprocessing.as_plain(), indent=1) + "\n")
    write_atomically(path / "environment.json", json.dumps(environment(devices), indent=1) + "\n")
    write_atomically(path / "recipe.yaml", dump_recipe(recipe))


def environment(devices: list[str]) -> dict:
    """Versions and devices, without names of machines or paths."""
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
    """Returns what a file of a run folder holds, and nothing for one that an older version did not write."""
    return json.loads(path.read_text()) if path.is_file() else {}


def append_log(path: Path, event: str, **values) -> None:
    """Adds one line to the run's log and hands it to the system at once, so that a killed process keeps it.

    Of several workers only the chief does.
    """
    if cluster().is_chief:
        append_line(Path(path) / "log.jsonl", event, **values)


def append_line(file_path: Path, event: str, **values) -> None:
    """Adds one line to a file of JSON lines, as `append_log` does."""
    line = json.dumps({"event": event, **values}) + "\n"
    with open(file_path, "ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # the end of a line that a killed process did not finish
                line = f"\n{line}"
        file.write(line.encode())


def read_log(path) -> list[dict]:
    """Returns the events of a run's log; of an epoch that was trained twice (after a resume) only the second time."""
    events, epochs = [], {}
    for line in (Path(path) / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if event.get("event") == "epoch":
            epochs[event["epoch"]] = event
        events.append(event)
    return [e for e in events if e.get("event") != "epoch" or epochs[e["epoch"]] is e]


class Scalars:
    """TensorBoard events of numbers over steps, by TensorFlow alone (`tf.summary.scalar` needs TensorBoard)."""

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
