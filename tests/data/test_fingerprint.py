"""A run resumes only on the data it started with; otherwise an error names the first difference."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from data_files import data_options, write_folder

from kerasnets.data.fingerprint import SAMPLE, fingerprint, first_difference, of_files
from kerasnets.data.shard_writer import write_shards
from kerasnets.data.sources import open_source
from kerasnets.runs.log import read_log
from kerasnets.training.loop import train
from kerasnets.training.stopping import Stopped

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


def facts(split="train", **source) -> dict:
    """Returns a fingerprint as a run folder stores it."""
    return json.loads(json.dumps(fingerprint(open_source(data_options(**source).source, split))))


def difference(change, split="train", **source) -> str | None:
    before = facts(split, **source)
    assert first_difference(before, facts(split, **source)) is None
    change()
    return first_difference(before, facts(split, **source))


def test_a_folder(tmp_path):
    write_folder(tmp_path)
    cats, settings = tmp_path / "train" / "cat", {"kind": "folder", "path": str(tmp_path)}
    size = (cats / "03.bmp").stat().st_size
    found = difference(lambda: (cats / "03.bmp").write_bytes(b"12345"), **settings)
    assert found == f"the size of cat/03.bmp is 5, it was {size}"
    found = difference((cats / "03.bmp").unlink, **settings)
    assert found == "the size of cat/03.bmp is nothing, it was 5"
    assert "new.jpg" in difference(lambda: (cats / "new.jpg").write_bytes(b"1"), **settings)

    def another_class():
        (tmp_path / "train" / "bird").mkdir()
        (tmp_path / "train" / "bird" / "a.jpg").write_bytes(b"1")

    assert "bird/a.jpg" in difference(another_class, **settings)


def test_a_large_folder_costs_little_and_still_names_the_class(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr("os.path.getsize", lambda path: sizes.append(path) or 7)
    classes = {f"n{label:04}": [b"%07d.JPEG" % i for i in range(label, 400_000, 1000)] for label in range(1000)}

    def facts_of(classes):
        return of_files("/data/train", classes.items(), sum(map(len, classes.values())))

    begun = time.perf_counter()
    before = facts_of(classes)
    print(f"400000 names: {time.perf_counter() - begun:.2f} s, {len(sizes)} sizes")
    assert SAMPLE / 4 < len(sizes) < 2 * SAMPLE
    label = next(label for label in classes if not any(path.startswith(f"/data/train/{label}/") for path in sizes))
    names = classes[label]
    found = first_difference(before, facts_of(classes | {label: names[1:]}))
    assert found == f"the number of files of class {label} is 399, it was 400"
    renamed = classes | {label: [name.replace(b".JPEG", b".jpg") for name in names]}
    found = first_difference(before, facts_of(renamed))
    assert found.startswith((f"the names of the files of class {label}", f"the size of {label}/"))


def test_arrays_and_shards(tmp_path):
    values = {"x_train": np.arange(5 * 64, dtype="uint8").reshape(5, 8, 8), "y_train": np.arange(5)}
    np.savez(tmp_path / "a.npz", **values)
    settings = {"kind": "arrays", "path": str(tmp_path / "a.npz")}

    def swap():
        np.savez(tmp_path / "a.npz", **values | {"y_train": np.array([1, 0, 2, 3, 4])})

    assert difference(swap, **settings).startswith("the labels is")
    write_folder(tmp_path / "photos")
    write_shards(tmp_path / "photos", tmp_path / "shards")

    def again():
        (tmp_path / "photos" / "train" / "cat" / "00.jpg").write_bytes(b"another one")
        write_shards(tmp_path / "photos", tmp_path / "again")
        for file in (tmp_path / "again").iterdir():
            file.replace(tmp_path / "shards" / file.name)

    found = difference(again, kind="tfrecord", path=str(tmp_path / "shards"))
    assert found.startswith("the SHA-256 of train-00000-of-00001.tfrecord is")


SHORT = ["epochs=2", "steps_per_epoch=2", "batch_size=10", "steps_per_execution=1", "evaluation.max_batches=1"]


def test_a_run_is_refused_on_other_data_and_warned_of_other_devices(tmp_path, monkeypatch):
    write_folder(tmp_path / "data")
    write_folder(tmp_path / "data", split="test")
    source = f"data.source={{kind: folder, path: {tmp_path / 'data'}}}"
    overrides, run = [*SHORT, source, "preprocessing={mean: [1, 2, 3], std: [1, 1, 1]}"], tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("kerasnets.training.loop.fit", stop)
        with pytest.raises(Stopped):
            train(DIGITS, run, overrides=overrides, progress=False)
    changed = tmp_path / "data" / "test" / "dog" / "01.png"
    contents = changed.read_bytes()
    changed.write_bytes(b"")
    with pytest.raises(ValueError, match="of its evaluation images the size of dog/01.png is 0, it was") as caught:
        train(DIGITS, run, overrides=overrides, resume=True, progress=False)
    assert "\n" not in str(caught.value)
    changed.write_bytes(contents)
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(environment | {"devices": ["GPU:0", "GPU:1"]}))
    train(DIGITS, run, overrides=overrides, resume=True, progress=False)
    (event,) = (e for e in read_log(run) if e["event"] == "warning" and "devices" in e["message"])
    assert "continues on other devices, 1 x CPU:0 instead of 1 x GPU:0, GPU:1" in event["message"]


def stop(*_):
    raise Stopped("as if by SIGTERM")
