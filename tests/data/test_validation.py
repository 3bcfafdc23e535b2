"""A held-out split chooses the epoch, and a score says which split chose it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import data_options, write_folder

from kerasnets.cli.app import run as run_command
from kerasnets.data.shard_writer import write_shards
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import held_out_split, labels_of
from kerasnets.recipe.read import load_recipe
from kerasnets.report.run_report import write_report
from kerasnets.runs.log import read_log
from kerasnets.training import callbacks, loop
from kerasnets.training.loop import train

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
SHORT = ["epochs=3", "steps_per_epoch=2", "batch_size=16", "steps_per_execution=1", "evaluation={batch_size: 100}"]


def digits():
    return open_source(data_options(kind="digits").source, "train")


def test_the_held_out_split_is_stratified_repeatable_and_not_trained_on():
    source = digits()
    rest, held = held_out_split(source, 0.1, seed=3)
    assert rest.size + held.size == source.size and held.size == pytest.approx(0.1 * source.size, abs=5)
    for label, count in enumerate(np.bincount(labels_of(source))):
        assert np.bincount(labels_of(held))[label] == round(0.1 * count)
    names = [{part.image_name(i) for i in range(part.size)} for part in (rest, held)]
    assert not names[0] & names[1] and len(names[0] | names[1]) == source.size
    again, other = held_out_split(digits(), 0.1, seed=3)[1], held_out_split(digits(), 0.1, seed=4)[1]
    assert names[1] == {again.image_name(i) for i in range(again.size)}
    assert names[1] != {other.image_name(i) for i in range(other.size)}
    for place in (0, 17, held.size - 1):
        whole = int(held.image_name(place).split("/")[-1])
        for ours, theirs in zip(held.fetch(place), source.fetch(whole), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_another_place_and_other_images_leave_the_split_of_an_image(tmp_path):
    """The split goes by class and file name. Another photo can move one photo in or out, never more."""

    def held_out(folder):
        source = open_source(data_options(kind="folder", path=str(folder)).source, "train")
        return {"/".join(Path(path).parts[-2:]) for path in held_out_split(source, 0.4, seed=2)[1].paths}

    write_folder(tmp_path / "photos")
    before = held_out(tmp_path / "photos")
    shutil.copytree(tmp_path / "photos", tmp_path / "elsewhere")
    assert held_out(tmp_path / "elsewhere") == before
    photo = next((tmp_path / "elsewhere" / "train" / "cat").iterdir())
    shutil.copy(photo, photo.with_name(f"new{photo.suffix}"))
    assert len(before - held_out(tmp_path / "elsewhere")) <= 1


def test_a_folder_is_split_by_files_and_a_stream_is_refused(tmp_path):
    write_folder(tmp_path / "photos")
    source = open_source(data_options(kind="folder", path=str(tmp_path / "photos")).source, "train")
    rest, held = held_out_split(source, 0.2, seed=0)
    assert sorted([*rest.paths, *held.paths]) == sorted(source.paths)
    assert [Path(path).parent.name for path in held.paths] == ["cat", "cat", "dog", "dog"]
    assert held.fetch(1)[1] == 0 and held.fetch(2)[1] == 1 and held.image_name(3) == held.paths[3]
    write_shards(tmp_path / "photos", tmp_path / "shards")
    stream = open_source(data_options(kind="tfrecord", path=str(tmp_path / "shards")).source, "train")
    with pytest.raises(ValueError, match="read as a stream; name a split as data.validation_split"):
        held_out_split(stream, 0.2, seed=0)
    with pytest.raises(ValueError, match="too few images of each class"):
        held_out_split(source, 0.01, seed=0)


def test_the_held_out_split_chooses_and_the_test_split_scores(tmp_path, monkeypatch):
    seen = []
    before = callbacks.BestAndEarlyStopping.on_epoch_end

    def on_epoch_end(self, *rest):
        seen.append(self.job)
        before(self, *rest)

    monkeypatch.setattr(callbacks.BestAndEarlyStopping, "on_epoch_end", on_epoch_end)
    run = train(DIGITS, tmp_path / "run", overrides=[*SHORT, "data.validation_fraction=0.2"], progress=False)
    sources = seen[0].sources
    assert sources["training"].size + sources["validation"].size == 1437
    assert run.evaluation["chosen_on"] == "validation" and run.evaluation["examples"] == 360
    (end,) = (e for e in read_log(run.path) if e["event"] == "end")
    assert end["kept"].startswith("best (epoch") and end["chosen_on"] == "validation"
    assert "the best epoch was chosen" not in write_report(run.path).read_text()
    assert set(json.loads((run.path / "data.json").read_text())) == {"training", "validation", "evaluation"}


def test_a_named_split_chooses_too(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 64), ("val", 30), ("test", 20)):
        arrays |= {f"x_{split}": rng.integers(0, 256, (count, 28, 28), "uint8"), f"y_{split}": np.arange(count) % 10}
    np.savez(tmp_path / "a.npz", **arrays)
    source = f"data.source={{kind: arrays, path: {tmp_path / 'a.npz'}}}"
    run = train(DIGITS, tmp_path / "run", overrides=[*SHORT, source, "data.validation_split=val"], progress=False)
    assert run.evaluation["chosen_on"] == "validation" and run.evaluation["examples"] == 20
    with pytest.raises(ValueError, match="give one of them"):
        load_recipe(DIGITS, [source, "data.validation_split=val", "data.validation_fraction=0.1"])


def test_a_score_that_was_chosen_on_its_own_split_says_so(tmp_path, capsys):
    settings = [part for setting in [*SHORT, "evaluation.keep=best"] for part in ("--set", setting)]
    assert run_command(["train", str(DIGITS), "-o", str(tmp_path / "run"), *settings]) == 0
    assert "the best epoch was chosen on these images" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    (end,) = (e for e in read_log(tmp_path / "run") if e["event"] == "end")
    assert result["chosen_on"] == end["chosen_on"] == "evaluation"
    assert "the best epoch was chosen on them" in (tmp_path / "run" / "report.html").read_text()


def test_without_a_validation_split_the_last_weights_are_kept(tmp_path):
    assert load_recipe(DIGITS, ["evaluation={}"]).keep == "last"
    assert load_recipe(DIGITS, ["evaluation={}", "data.validation_fraction=0.1"]).keep == "best"
    run = train(DIGITS, tmp_path / "run", overrides=SHORT, progress=False)
    assert run.evaluation["chosen_on"] is None and not (run.path / "checkpoints" / "best.safetensors").exists()


def test_a_damaged_best_checkpoint_gives_way_to_the_last_weights(tmp_path, monkeypatch):
    before = loop.finish

    def damaged(job):
        best = job.folder / "checkpoints" / "best.safetensors"
        best.write_bytes(best.read_bytes()[:-100])
        before(job)

    monkeypatch.setattr(loop, "finish", damaged)
    run = train(DIGITS, tmp_path / "run", overrides=[*SHORT, "evaluation.keep=best"], progress=False)
    events = {e["event"]: e for e in read_log(run.path)}
    assert events["end"]["kept"] == "last" and events["end"]["chosen_on"] is None
    assert (
        "best.safetensors" in events["warning"]["message"]
        and "weights of the last epoch" in events["warning"]["message"]
    )
