"""The command line: answers, JSON, exit codes, errors of one line, and a small job from training to prediction."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kerasnets.cli.app import run
from kerasnets.model_index import read_model_index

ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "recipes" / "lenet5_digits.yaml")


def said(capsys) -> tuple[str, list[str]]:
    """Returns standard output, and the lines of standard error."""
    captured = capsys.readouterr()
    return captured.out, captured.err.strip().splitlines()


def refused(capsys, *arguments: str) -> str:
    """Runs a wrong request, checks that it gives exit code 2 and a single line, and returns the line."""
    capsys.readouterr()
    assert run(list(arguments)) == 2
    out, lines = said(capsys)
    assert not out and len(lines) == 1 and lines[0].startswith("kerasnets: "), (out, lines)
    return lines[0]


def test_list_and_info_read_the_model_index(capsys):
    assert run(["list"]) == 0
    out, _ = said(capsys)
    rows = read_model_index()
    assert [line.split()[0] for line in out.splitlines()[2:]] == sorted(rows)
    assert run(["list", "lenet5_m*", "--json"]) == 0
    assert json.loads(said(capsys)[0]) == [{"name": "lenet5_modern"} | rows["lenet5_modern"]]
    assert run(["info", "ResNet18", "--json"]) == 0
    assert json.loads(said(capsys)[0])["parameters"] == 11_689_512
    assert run(["info", "resnet18"]) == 0
    assert "11,689,512" in said(capsys)[0]


def test_light_commands_leave_heavy_packages_alone():
    """Their time is that of imports: these packages take most of a second each, or more."""
    light = [
        ["list"],
        ["info", "resnet50"],
        ["--help"],
        ["train", "--help"],
        ["export", "--help"],
        ["predict", "--help"],
    ]
    program = f"""import sys
from kerasnets.cli.app import run
for arguments in {light}:
    assert run(arguments) == 0, arguments
heavy = {{"tensorflow", "keras", "numpy", "PIL", "huggingface_hub", "h5py", "jinja2"}} & set(sys.modules)
assert not heavy, heavy"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["list", "info", "train", "evaluate", "predict", "export", "profile"])
def test_every_command_has_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    assert f"Example: kerasnets {command} " in said(capsys)[0]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["lst"], "list"),
        (["list", "--famly", "resnet"], "--family"),
        (["list", "--family", "resnt"], "resnet"),
        (["info"], "name"),
        (["info", "resnet51"], "Did you mean 'resnet50'"),
        (["predict", "resnet18"], "images"),
        (["train", "recipes/lenet5_digit.yaml"], "No recipe"),
        (["train", RECIPE, "--set", "optimizer.lerning_rate=1"], "learning_rate"),
        (["train", RECIPE, "--set", "batch_size=many"], "batch_size"),
        (["train", RECIPE, "--set", "model.name=lenet6"], "lenet5"),
        (["train", RECIPE, "--set", "data.source={kind: folder, path: not-there}"], "not-there"),
        (["evaluate", "lenet5_modern"], "--weights"),
        (["evaluate", "lenet6_modern"], "lenet5_modern"),
        (["export", "not-there", "--to", "tflite"], "not-there"),
        (["export", "lenet5_modern", "--to", "tflight"], "tflite"),
        (["predict", "not-there.tflite", "a.png"], "not-there.tflite"),
        (["profile", "lenet5_modern", "--batch-size", "0"], "batch_size"),
    ],
    ids=lambda value: " ".join(value).replace(RECIPE, "RECIPE") if isinstance(value, list) else "",
)
def test_a_wrong_request_gets_one_line_and_code_2(arguments, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hint.lower() in refused(capsys, *arguments).lower()
    assert not list(tmp_path.iterdir()), "a wrong request should leave nothing behind"


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="Unknown model"):
        run(["info", "resnet51", "--debug"])


def test_failed_work_has_code_1(monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("the disk is\nfull")

    monkeypatch.setattr("kerasnets.cli.info.model_info", fail)
    assert run(["info", "resnet50"]) == 1
    assert said(capsys)[1] == ["kerasnets: the disk is full"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The folder that holds a smoke run of the digits recipe, trained through the command line."""
    here = tmp_path_factory.mktemp("project")
    assert run(["train", RECIPE, "--smoke", "--run-dir", str(here / "digits")]) == 0
    return here


def test_train_leaves_a_run_with_a_report(smoke, capsys):
    left = {path.name for path in (smoke / "digits").iterdir()}
    assert {"recipe.yaml", "log.jsonl", "model.keras", "labels.txt", "evaluation.json", "report.html"} <= left
    line = refused(capsys, "train", RECIPE, "--smoke", "--run-dir", str(smoke / "digits"))
    assert "--overwrite" in line


def test_evaluate_prints_json_and_nothing_else(smoke, capsys):
    capsys.readouterr()
    assert run(["evaluate", str(smoke / "digits"), "--json"]) == 0
    found = json.loads(said(capsys)[0])
    assert found["examples"] == 360 and sum(map(sum, found["confusion"])) == 360


def test_evaluate_takes_shards_as_it_takes_the_folder_they_were_made_of(smoke, tmp_path, capsys):
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in range(40):
        path = tmp_path / "digits" / "test" / str(digits.target[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[number] * 15).astype("uint8")).save(path)
    assert run(["shard", str(tmp_path / "digits"), "--output", str(tmp_path / "shards")]) == 0
    found = {}
    for folder in ("digits", "shards"):
        capsys.readouterr()
        assert run(["evaluate", str(smoke / "digits"), "--data", str(tmp_path / folder), "--json"]) == 0
        found[folder] = json.loads(said(capsys)[0])
    assert found["shards"]["examples"] == 40 and found["shards"]["confusion"] == found["digits"]["confusion"]
    assert found["shards"]["loss"] == pytest.approx(found["digits"]["loss"], rel=1e-6)


def test_export_reports_and_a_truncated_file_is_refused(smoke, capsys, monkeypatch):
    monkeypatch.chdir(smoke)
    assert run(["export", "digits", "--to", "tflite", "--examples", "20", "--json"]) == 0
    report = json.loads(said(capsys)[0])
    assert report["passed"] and report["examples"] == 20 and Path(report["path"]).is_file()
    assert "digits.tflite" in (smoke / "digits" / "report.html").read_text()
    whole = Path(report["path"]).read_bytes()
    Path(report["path"]).write_bytes(whole[: len(whole) // 3])
    assert "digits.tflite is damaged" in refused(capsys, "predict", report["path"], "a.png")


def test_predict_names_a_bad_file_and_does_the_rest(smoke, capsys):
    from PIL import Image

    good, bad, missing = smoke / "good.png", smoke / "bad.png", smoke / "missing.png"
    Image.new("L", (40, 30), 128).save(good)
    bad.write_bytes(b"not an image")
    files = [str(bad), str(good), str(missing)]
    capsys.readouterr()
    assert run(["predict", str(smoke / "digits"), *files, "--top", "2", "--json"]) == 1
    out, lines = said(capsys)
    answers = json.loads(out)
    assert [answer["image"] for answer in answers] == files and [("error" in a) for a in answers] == [True, False, True]
    assert len(answers[1]["predictions"]) == 2 and set(answers[1]["predictions"][0]) == {
        "index",
        "label",
        "probability",
    }
    assert len(lines) == 2 and "bad.png" in lines[0] and "missing.png" in lines[1]
    assert run(["predict", str(smoke / "digits"), str(good)]) == 0


def test_profile_counts_and_measures(capsys):
    capsys.readouterr()
    assert run(["profile", "lenet5_modern", "--batch-size", "2", "--steps", "1", "--no-training", "--json"]) == 0
    found = json.loads(said(capsys)[0])
    assert found["parameters"] == 61_706 and found["inference"]["milliseconds"] > 0 and found["training_step"] is None
