"""`kerasnets export`: what it refuses, and what it prints about its check."""

import json

import pytest

from kerasnets.cli.app import run
from kerasnets.exporters.predict import open_predictor


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert run(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_random_weights_are_refused_unless_they_are_asked_for(somewhere, capsys):
    line = refused(capsys, "export", "lenet5_modern", "--to", "tflite")
    assert "--weights" in line and "--allow-random" in line
    assert not list(somewhere.iterdir())


def test_a_colour_network_by_name_says_what_it_was_compared_on(capsys):
    arguments = ["export", "resnet20_cifar", "--to", "tflite", "--allow-random"]
    assert run([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "sample photos" in report["images"] and "digits" not in json.dumps(report)
    assert report["labelled"] == 0 and report["accuracy"] is None and report["examples"] == 30
    said = "; ".join(report["not_checked"])
    assert all(word in said for word in ("accuracy", "random", "is made for", "resizing"))
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert "100.00 % of 30" in shown and "sample photos" in shown and "not checked" in shown and "random" in shown


def test_a_grey_network_by_name_has_no_accuracy_on_the_digits(capsys):
    assert run(["export", "lenet5_modern", "--to", "tflite", "--allow-random", "--examples", "20", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["examples"] == 20 and report["accuracy"] is None and "handwritten digits" in report["images"]


@pytest.mark.parametrize("count", ["0", "-3"])
def test_a_number_of_examples_that_is_not_positive_is_refused(count, somewhere, capsys):
    line = refused(capsys, "export", "lenet5_modern", "--to", "tflite", "--allow-random", "--examples", count)
    assert f"Received: examples={count}" in line and not list(somewhere.iterdir())


@pytest.mark.parametrize("bounds", ["top1=0.9", "top1_agreement", "top1_agreement=high", ""])
def test_bounds_that_do_not_exist_are_refused(bounds, somewhere, capsys):
    line = refused(capsys, "export", "lenet5_modern", "--to", "tflite", "--allow-random", "--bounds", bounds)
    assert "--bounds should be top1_agreement, accuracy_drop or largest_difference" in line


def test_bounds_of_the_command_line_decide(somewhere, capsys):
    arguments = ["export", "lenet5_modern", "--to", "tflite-float16", "--allow-random", "--examples", "20"]
    assert run([*arguments, "--bounds", "largest_difference=0"]) == 1
    assert "largest difference from Keras" in capsys.readouterr().err and not list(somewhere.rglob("*.tflite"))
    assert run([*arguments, "--bounds", "largest_difference=none, top1_agreement=0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["bounds"]
    assert found == {"largest_difference": None, "top1_agreement": 0.1, "accuracy_drop": 0.005}


def test_labels_of_a_file_are_in_the_export(somewhere, capsys):
    (somewhere / "labels.txt").write_text("".join(f"digit {n}\n" for n in range(10)))
    arguments = ["export", "lenet5_modern", "--to", "tflite", "--allow-random", "--examples", "4"]
    assert run([*arguments, "--labels", "labels.txt", "--output", "net.tflite"]) == 0
    assert open_predictor("net.tflite").labels == tuple(f"digit {n}" for n in range(10))


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\xff\xfe\x00red", "not UTF-8 text")])
def test_labels_that_cannot_be_read_are_named(content, reason, somewhere, capsys):
    if content:
        (somewhere / "labels.txt").write_bytes(content)
    line = refused(capsys, "export", "lenet5_modern", "--to", "tflite", "--allow-random", "--labels", "labels.txt")
    assert "--labels should be a text file" in line and "'labels.txt'" in line and reason in line
