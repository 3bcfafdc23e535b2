"""Prediction of many files: the answers of one at a time, rows that can be continued, shards."""

import csv
import json
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from data_files import encode, photo, write_folder

import kerasnets
from kerasnets.cli.app import run
from kerasnets.data.images.per_image import load_image
from kerasnets.exporters.predict import open_predictor, predict
from kerasnets.exporters.prediction_files import format_of, open_rows, row, shard_of
from kerasnets.registry import Preprocessing


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twenty-six files in five formats and two folders; one is no image, one only Pillow can decode, one is CMYK."""
    folder = write_folder(tmp_path_factory.mktemp("photos"), per_class=12)
    (folder / "train" / "cat" / "05a.png").write_bytes(b"\x89PNG but then nothing")
    from PIL import Image

    pixels = Image.fromarray(photo(77))
    pixels.convert("CMYK").save(folder / "train" / "cat" / "05b.jpg", "JPEG")
    pixels.save(folder / "train" / "dog" / "03a.png", "TIFF")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network for colour images, as a file."""
    path = tmp_path_factory.mktemp("model") / "net.keras"
    net = kerasnets.create_model("lenet5_modern", input_shape=(32, 32, 3), classes=7)
    net.preprocessing = Preprocessing(size=32, mean=(127.5,) * 3, std=(127.5,) * 3)
    net.save(path)
    return path


def one_at_a_time(model, files) -> list[np.ndarray | str]:
    """Probabilities of each file by itself, from Keras; or the error."""
    predictor, found = open_predictor(model), []
    for file in files:
        try:
            image = np.asarray(load_image(file, predictor.preprocessing))
        except ValueError as error:
            found.append(str(error))
        else:
            found.append(predictor.run(image[None])[0])
    return found


def test_many_files_get_the_answers_of_each_by_itself(photos, model):
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    expected, answers = one_at_a_time(model, files), predict(model, [photos], top=7, batch_size=10)
    assert [answer["image"] for answer in answers] == [str(file) for file in files] and len(files) == 27
    assert [answer["image"][-11:] for answer in answers if "error" in answer] == ["cat/05a.png"]
    for answer, alone in zip(answers, expected, strict=True):
        if "error" in answer:
            assert answer["error"] == alone
        else:
            shares = {each["index"]: each["probability"] for each in answer["predictions"]}
            np.testing.assert_allclose([shares[index] for index in range(7)], alone, atol=1e-5)


def test_only_bad_files(tmp_path, model):
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(b"nothing")
    assert all("cannot be decoded" in answer["error"] for answer in predict(model, [tmp_path], batch_size=4))


def rows_of(path) -> list[dict]:
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_shards_together_are_the_whole(form, photos, model, tmp_path, capsys):
    whole = tmp_path / f"whole.{form}"
    assert run(["predict", str(model), str(photos), "--top", "3", "-o", str(whole)]) == 1
    rows = []
    for shard in ("1/2", "2/2"):
        part = tmp_path / f"part{shard[0]}.{form}"
        run(["predict", str(model), str(photos), "--top", "3", "-o", str(part), "--shard", shard, "--batch-size", "4"])
        rows += rows_of(part)
    found = sorted(rows, key=lambda row: row["image"])
    assert [row["image"] for row in found] == [row["image"] for row in rows_of(whole)] and len(found) == 27
    assert [bool(row.get("error")) for row in found] == [bool(row.get("error")) for row in rows_of(whole)]
    assert "27 images in" in capsys.readouterr().out


def test_a_killed_run_is_continued(photos, model, tmp_path, capsys):
    """A row that was cut off is written again, and the rows before it are not."""
    path = tmp_path / "rows.jsonl"
    command = ["predict", str(model), str(photos), "--top", "2", "--output", str(path)]
    assert run(command) == 1
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    kept = b"".join(lines[:9]).replace(b'"probability": 0', b'"probability": 7')  # would show if done again
    path.write_bytes(kept + lines[9][:-10])
    capsys.readouterr()
    assert run(command) == 1
    assert path.read_bytes()[: len(kept)] == kept and rows_of(path)[9:] == [json.loads(line) for line in lines[9:]]
    assert [json.loads(line)["image"] for line in lines] == [row["image"] for row in rows_of(path)]
    assert "9 of them before" in capsys.readouterr().out
    before = path.read_bytes()
    assert run(command) == 1 and path.read_bytes() == before  # the bad file still counts


@pytest.mark.parametrize("name", ["thesis.csv", "thesis.jsonl"])
@pytest.mark.parametrize("content", ["chapter one", "chapter,one\n1,2\n", '{"chapter": 1}\n', "[1]\n2"])
def test_another_file_is_not_changed(name, content, tmp_path):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match="does not hold predictions"), open_rows(path, path.suffix[1:], 5):
        pass
    assert path.read_text() == content


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rows_with_another_number_of_classes_are_not_mixed(form, tmp_path):
    answer = {"image": "a.jpg", "predictions": [{"index": 1, "label": 'a "b", c', "probability": 0.5}]}
    with open_rows(tmp_path / "rows", form, 1) as (file, _):
        file.write(row(answer, form, 1))
    with open_rows(tmp_path / "rows", form, 1) as (_, done):
        assert done == {"a.jpg": False}
    with pytest.raises(ValueError, match="2 classes"), open_rows(tmp_path / "rows", form, 2):
        pass


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("cut", [4, 25, 60])
def test_a_first_row_that_was_cut_off(form, cut, tmp_path):
    answer = {"image": "a.jpg", "error": "x" * 100}
    with open_rows(tmp_path / "rows", form, 1) as (file, _):
        file.write(row(answer, form, 1))
    whole = (tmp_path / "rows").read_bytes()
    (tmp_path / "rows").write_bytes(whole[:cut])
    with open_rows(tmp_path / "rows", form, 1) as (file, done):
        assert not done
        file.write(row(answer, form, 1))
    assert (tmp_path / "rows").read_bytes() == whole


def test_a_file_name_that_is_not_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    for form in ("csv", "jsonl"):
        with open_rows(tmp_path / form, form, 1) as (file, _):
            file.write(row({"image": name, "error": "x"}, form, 1))
        with open_rows(tmp_path / form, form, 1) as (_, done):
            assert done == {name: True}


def test_two_processes_do_not_write_one_file(tmp_path):
    with open_rows(tmp_path / "rows", "csv", 1), pytest.raises(OSError, match="Another process is writing"):
        with open_rows(tmp_path / "rows", "csv", 1):
            pass


def test_shards_and_formats_that_do_not_exist():
    for shard in ("0/2", "3/2", "1", "a/b", "1/0", "-1/2"):
        with pytest.raises(ValueError, match="Received: shard="):
            shard_of([], shard)
    for output, form in (("rows.txt", None), ("rows", None), (None, "xml")):
        with pytest.raises(ValueError, match="csv or jsonl"):
            format_of(output, form)
    assert (format_of("a.CSV", None), format_of("a.txt", "jsonl"), format_of(None, None)) == ("csv", "jsonl", None)


def test_rows_on_standard_output(photos, model, capsys):
    folder = photos / "train" / "dog"
    assert run(["predict", str(model), str(folder), "--format", "jsonl", "--top", "1"]) == 0
    assert [json.loads(line)["image"] for line in capsys.readouterr().out.splitlines()][0] == str(folder / "00.jpg")
    assert run(["predict", str(model), str(folder), "--format", "csv", "--json"]) == 2


# What one photo needs none of. Keras and TensorFlow import the first five by themselves if they are installed.
UNUSED = ("jax", "matplotlib", "pandas", "scipy", "sklearn", "tensorflow_datasets", "keras_cv", "jinja2",
          "ai_edge_litert", "kerasnets.training.loop", "kerasnets.report", "kerasnets.data.pipeline",
          "kerasnets.evaluation")  # fmt: skip


def test_one_photo_imports_nothing_that_it_does_not_use(model, tmp_path):
    (tmp_path / "photo.png").write_bytes(encode(photo(1), "PNG"))
    program = (
        "import sys; from kerasnets.cli.app import run; print(run(sys.argv[1:]), *sys.modules)\n"
        "from sklearn.datasets import load_digits; load_digits()"  # left out, and not lost
    )
    command = [sys.executable, "-c", program, "predict", str(model), str(tmp_path / "photo.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert "tensorflow" in modules and [name for name in UNUSED if name in modules] == []


def test_the_example_for_ray_gives_what_predict_gives(photos, model, tmp_path, monkeypatch):
    """Its class for the workers, without Ray: one batch of files, one of them broken."""
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "ray_data.py"))
    path = kerasnets.export(model, "saved-model", output=tmp_path / "net", examples=8)["path"]
    answers = predict(path, [photos / "train" / "cat"], top=1)[4:7]
    files = [answer["image"] for answer in answers]
    contents = [Path(file).read_bytes() for file in files]
    found = example["Classifier"](f"{path}/1")({"path": files, "bytes": contents})
    assert found["image"] == files and [answer["image"] for answer in answers if "error" in answer] == [files[2]]
    assert found["label"][2] is None and found["probability"][2] is None
    for number in (0, 1):
        (best,) = answers[number]["predictions"]
        assert found["label"][number] == best["label"]
        assert found["probability"][number] == pytest.approx(best["probability"], abs=1e-5)
