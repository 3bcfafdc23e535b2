"""`kerasnets benchmark tflite`: LiteRT's own benchmark, and the commands for a phone."""

import json
import shlex

import pytest
from loaded_networks import filled_network

from kerasnets.cli.app import run
from kerasnets.exporters.export import export


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    place = tmp_path_factory.mktemp("latency") / "a net.tflite"
    bounds = {"top1_agreement": None, "accuracy_drop": None}
    export(filled_network("lenet5_modern"), "tflite", output=place, examples=4, bounds=bounds)
    return place


def test_litert_measures_on_one_thread_and_on_all(file, capsys):
    assert run(["benchmark", "tflite", str(file), "--runs", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["threads"] == 1 and len({row["threads"] for row in rows}) == len(rows)
    assert all(row["accelerators"] == ["CPU"] and row["runs"] == 3 and row["median_ms"] > 0 for row in rows)
    assert run(["benchmark", "tflite", str(file), "--runs", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows)


def test_the_commands_for_a_phone_name_the_file(file, capsys):
    assert run(["benchmark", "tflite", str(file), "--adb"]) == 0
    _, _, push, *others = map(shlex.split, capsys.readouterr().out.splitlines())
    assert push == ["adb", "push", str(file), "/data/local/tmp/model.tflite"]
    assert all(words[:2] == ["adb", "shell"] for words in others)
    assert "--graph=/data/local/tmp/model.tflite" in others[-1] and "--use_gpu=true" in others[-1]


@pytest.mark.parametrize("words", [[], ["--adb"]])
def test_a_file_that_is_not_there_or_damaged_is_one_line(words, tmp_path, capsys):
    assert run(["benchmark", "tflite", str(tmp_path / "no.tflite"), *words]) == 2
    assert "no.tflite" in capsys.readouterr().err
    if not words:
        (tmp_path / "cut.tflite").write_bytes(b"TFL3")
        assert run(["benchmark", "tflite", str(tmp_path / "cut.tflite")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cut.tflite is not a TFLite file, or damaged" in line
